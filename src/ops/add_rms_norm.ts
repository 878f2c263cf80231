/**
 * sum = res + gate·x (either may be left out);  u = sum / √(mean(sum²) + eps) · weight;  y = u·(1 + scale) + shift.
 * The adaLN vectors are rows of one tensor: shift 0, scale 1, gate 2. This closes a layer (its gate and residual) and opens
 * the next (norm and modulation) in one pass. Zhang and Sennrich 2019, RMSNorm.
 */
import shader from '../../shaders/add_rms_norm.wgsl';
import { workgroupSums } from './gemv.js';
import { ceilDiv, entry, grid } from './spec.js';

export const addRmsNorm = {
  forward: entry('add_rms_norm', 'forward', shader, {
    tensors: {
      x: { shape: 'm l d', io: 'in' },
      res: { shape: 'm l d', io: 'in', optional: true },
      gate: { shape: 'm g d', io: 'in', optional: true },
      weight: { shape: 'd', io: 'in' },
      modulation: { shape: 'm c d', io: 'in', optional: true },
      sum: { shape: 'm l d', io: 'out', optional: true },
      y: { shape: 'm l d', io: 'out' },
    },
    attrs: { eps: 'f32' },
    check({ g, c }) {
      if (g !== 0 && g !== 3) return `gate has ${g} rows, expected 3; pass the [m, 3, d] of shift, scale and gate.`;
      if (c === 1) return 'modulation has 1 row, expected shift and scale; pass [m, 2, d] or [m, 3, d].';
      return undefined;
    },
    reference({ x, res, gate, weight, modulation, sum, y }, { m, l, d, g, c, eps }) {
      const s = new Float64Array(d);
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < l; j++) {
          const at = (i * l + j) * d;
          let squares = 0;
          for (let ch = 0; ch < d; ch++) {
            s[ch] = (res?.[at + ch] ?? 0) + x[at + ch]! * (gate?.[(i * g + 2) * d + ch] ?? 1);
            squares += s[ch]! ** 2;
          }
          for (let ch = 0; ch < d; ch++) {
            const u = (s[ch]! / Math.sqrt(squares / d + eps)) * weight[ch]!;
            const shift = modulation?.[i * c * d + ch] ?? 0;
            const scale = modulation?.[(i * c + 1) * d + ch] ?? 0;
            y[at + ch] = u * (1 + scale) + shift;
            if (sum) sum[at + ch] = s[ch]!;
          }
        }
      }
    },
    webgpu({ m, l, d }, caps) {
      if (d % 4) return { constants: { PER: ceilDiv(d, 256) }, workgroups: grid(m * l) };
      return {
        entry: 'forward_vec4',
        ...workgroupSums(caps),
        constants: { WG: 256, PER: ceilDiv(d, 4 * 256) },
        vec4: ['x', 'res', 'gate', 'weight', 'modulation', 'sum', 'y'],
        workgroups: grid(m * l),
      };
    },
    tolerance: { f32: 2e-6, reason: 'd squares summed in f32, in another order' },
  }),
  /**
   * From the saved sum and the gradients of y and (where later layers read it) of sum: dres, the whole gradient of sum, which is
   * res's and, without a gate, x's. `rows` gets sums over each of w parts of a sequence for `backward_params`.
   */
  backward: entry('add_rms_norm', 'backward', shader, {
    tensors: {
      sum: { shape: 'm l d', io: 'in' },
      weight: { shape: 'd', io: 'in' },
      modulation: { shape: 'm c d', io: 'in', optional: true },
      dy: { shape: 'm l d', io: 'in' },
      dsum: { shape: 'm l d', io: 'in', optional: true },
      dres: { shape: 'm l d', io: 'out' },
      rows: { shape: 'm w 2 d', io: 'out' },
    },
    attrs: { eps: 'f32' },
    check({ l, c, w }) {
      if (c === 1) return 'modulation has 1 row, expected shift and scale; pass [m, 2, d] or [m, 3, d].';
      return w <= l ? undefined : `rows has ${w} parts for ${l} positions; pass at most ${l} (partsOf).`;
    },
    reference({ sum, weight, modulation, dy, dsum, dres, rows }, { m, l, d, c, w, eps }) {
      const span = Math.ceil(l / w);
      rows.fill(0);
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < l; j++) {
          const at = (i * l + j) * d;
          const to = (i * w + Math.floor(j / span)) * 2 * d;
          let squares = 0;
          for (let ch = 0; ch < d; ch++) squares += sum[at + ch]! ** 2;
          const r = 1 / Math.sqrt(squares / d + eps);
          // forward: n = sum·r, y = n·weight·(1 + scale) + shift  ⇒  dn = dy·weight·(1 + scale)
          const dn = (ch: number) => dy[at + ch]! * weight[ch]! * (1 + (modulation?.[(i * c + 1) * d + ch] ?? 0));
          let inner = 0;
          for (let ch = 0; ch < d; ch++) inner += dn(ch) * sum[at + ch]!;
          for (let ch = 0; ch < d; ch++) {
            // forward: r = (Σ sum²/d + eps)^-½  ⇒  dsum += dn·r - sum·r³·Σ(dn·sum)/d
            dres[at + ch] = dn(ch) * r - (sum[at + ch]! * r ** 3 * inner) / d + (dsum?.[at + ch] ?? 0);
            rows[to + ch] = rows[to + ch]! + dy[at + ch]!;
            rows[to + d + ch] = rows[to + d + ch]! + dy[at + ch]! * sum[at + ch]! * r;
          }
        }
      }
    },
    webgpu: ({ m, w, d }) => ({ constants: { PER: ceilDiv(d, 256) }, workgroups: grid(m * w) }),
    tolerance: { f32: 4e-6, reason: 'two sums over d and one over positions in f32, in another order' },
  }),
  /** From `rows`: dmodulation's shift and scale, and per sequence the gradient of weight, for sum_rows. */
  backward_params: entry('add_rms_norm', 'backward_params', shader, {
    tensors: {
      rows: { shape: 'm w 2 d', io: 'in' },
      weight: { shape: 'd', io: 'in' },
      modulation: { shape: 'm c d', io: 'in', optional: true },
      dmodulation: { shape: 'm c d', io: 'inout', optional: true },
      dweight_rows: { shape: 'm d', io: 'out' },
    },
    check: ({ c }) => (c === 1 ? 'modulation has 1 row, expected shift and scale; pass [m, 2, d] or [m, 3, d].' : undefined),
    reference({ rows, weight, modulation, dmodulation, dweight_rows }, { m, w, d, c }) {
      for (let i = 0; i < m; i++) {
        for (let ch = 0; ch < d; ch++) {
          let dy = 0;
          let dyn = 0;
          for (let q = 0; q < w; q++) {
            dy += rows[(i * w + q) * 2 * d + ch]!;
            dyn += rows[((i * w + q) * 2 + 1) * d + ch]!;
          }
          const shift = i * c * d + ch;
          // forward: y = n·weight·(1 + scale) + shift  ⇒  dshift += Σ dy, dscale += Σ dy·n·weight, dweight += Σ dy·n·(1 + scale)
          if (dmodulation) {
            dmodulation[shift] = dmodulation[shift]! + dy;
            dmodulation[shift + d] = dmodulation[shift + d]! + dyn * weight[ch]!;
          }
          dweight_rows[i * d + ch] = dyn * (1 + (modulation?.[shift + d] ?? 0));
        }
      }
    },
    webgpu: ({ m, d }) => ({ constants: { WG: 64 }, workgroups: grid(ceilDiv(m * d, 64)) }),
    tolerance: { f32: 2e-6, reason: 'w numbers summed in f32, in another order' },
  }),
  /** Where x has a gate: dx, and the gate's row of dgate, from dres, the gradient of sum. */
  backward_gate: entry('add_rms_norm', 'backward_gate', shader, {
    tensors: {
      x: { shape: 'm l d', io: 'in' },
      gate: { shape: 'm 3 d', io: 'in' },
      dres: { shape: 'm l d', io: 'in' },
      dx: { shape: 'm l d', io: 'out' },
      dgate: { shape: 'm 3 d', io: 'inout' },
    },
    reference({ x, gate, dres, dx, dgate }, { m, l, d }) {
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < l; j++) {
          for (let ch = 0; ch < d; ch++) {
            const at = (i * l + j) * d + ch;
            const to = (i * 3 + 2) * d + ch;
            // forward: sum = res + gate·x  ⇒  dx = dsum·gate, dgate += Σ dsum·x
            dx[at] = dres[at]! * gate[to]!;
            dgate[to] = dgate[to]! + dres[at]! * x[at]!;
          }
        }
      }
    },
    webgpu: ({ m, d }) => ({ workgroups: grid(m * ceilDiv(d, 32)) }),
    tolerance: { f32: 3e-6, reason: 'l products summed in f32, in another order' },
  }),
};
