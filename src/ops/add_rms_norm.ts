/**
 * sum = res + gate·x (either may be left out);  u = sum / √(mean(sum²) + eps) · weight;  y = u·(1 + scale) + shift.
 * The adaLN vectors are rows of one tensor: shift 0, scale 1, gate 2. This closes a layer (its gate and residual) and opens
 * the next (norm and modulation) in one pass. Zhang and Sennrich 2019, RMSNorm.
 */
import shader from '../../shaders/add_rms_norm.wgsl';
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
    webgpu: ({ m, l, d }) => ({ constants: { PER: ceilDiv(d, 256) }, workgroups: grid(m * l) }),
    tolerance: { f32: 2e-6, reason: 'd squares summed in f32, in another order' },
  }),
};
