/**
 * Mamba-2's state-space recurrence, SSD (arXiv 2405.21060), a whole sequence or one step. For each head, p × n:
 * H_t = exp(dt_t A) H_{t-1} + dt_t·x_t ⊗ B_t,  y_t = H_t C_t + D x_t,  dt = softplus(dt + dt_bias), A = -exp(A_log).
 * xbc is the convolution's output [x: e | B: g·n | C: g·n], dt the end of in_proj's output [z|x|B|C|dt: h]; neither is cut
 * up. Head i uses group ⌊i / (h/g)⌋. The state goes from the H before the first position to the H after the last; without
 * it H starts at zero.
 *
 * Backward (from a zero state) keeps no states: H is walked forwards once more for dC, dH backwards for dB and for dx, and dt's
 * gradient follows from how much each position takes from its past and gives to its future. It is five entries, since one may
 * bind 8 buffers; `ssdBackward` runs them.
 */
import shader from '../../shaders/ssd.wgsl';
import type { Backend, Tensor } from '../backend/backend.js';
import { shuffles } from './gemv.js';
import { softplus } from './selective_scan.js';
import { sigmoid } from './silu.js';
import { ceilDiv, entry, type GpuCaps, grid } from './spec.js';

/** Rows of a state tile in assembly/ssd.ts, which wants scratch for one when there is no state. */
const TILE_ROWS = 16;

/** The largest headdim whose rows a backward workgroup can hold. */
const MAX_HEADDIM = 1024;

/** log of a decay that leaves nothing above float32's rounding; also in the shader and the assembly. */
const NOTHING = -16;

interface Sizes {
  c: number;
  s: number;
  h: number;
  e: number;
  ngroups: number;
  headdim: number;
  d_state: number;
}

function check({ c, s, h, e, ngroups, headdim, d_state }: Sizes): string | undefined {
  for (const [name, value] of Object.entries({ ngroups, headdim, d_state }))
    if (!(value > 0)) return `the attribute ${name} is ${value}; pass the model's ${name}, at least 1.`;
  if (h % ngroups !== 0) return `${h} heads do not divide into ngroups = ${ngroups}; pass an ngroups that divides h.`;
  if (e !== h * headdim)
    return `e = ${e} is not h·headdim = ${h}·${headdim}; pass A_log of e/headdim heads or the right headdim.`;
  if (c !== e + 2 * ngroups * d_state)
    return `xbc has rows of c = ${c}, expected e + 2·ngroups·d_state = ${e + 2 * ngroups * d_state}; pass [x | B | C] or the right attributes.`;
  return checkDt({ s, h });
}

function checkDt({ s, h }: Pick<Sizes, 's' | 'h'>): string | undefined {
  if (s < h) return `zxbcdt has rows of s = ${s}, shorter than dt of h = ${h}; pass in_proj's whole output [z | x | B | C | dt].`;
  return undefined;
}

function checkState({ p, n, headdim, d_state }: { p: number; n: number; headdim: number; d_state: number }): string | undefined {
  if ((p !== 0 || n !== 0) && (p !== headdim || n !== d_state))
    return `state holds heads of ${p} × ${n}, expected headdim × d_state = ${headdim} × ${d_state}; pass a state of [m, h, headdim, d_state].`;
  return undefined;
}

function checkColumns(d: Sizes & { n: number }): string | undefined {
  if (d.n !== d.d_state) return `the gradient by heads has n = ${d.n}, expected d_state = ${d.d_state}; run ssdBackward.`;
  if (d.headdim > MAX_HEADDIM) return `headdim = ${d.headdim} is over ${MAX_HEADDIM}, the most backward takes; use more heads.`;
  return check(d);
}

/** Elements of xbc and the state that are read at once. */
const widthOf = (e: number, d_state: number) => (d_state % 4 === 0 && e % 4 === 0 ? 4 : 1);

function threadsAlong(vectors: number, most: number): number {
  let lanes = 1;
  while (lanes < most && lanes < vectors) lanes *= 2;
  return lanes;
}

/** Launch of the entries that sum over n. */
function planRows(name: string, { m, l, h, e, headdim, d_state }: Sizes & { m: number; l: number }, vec4: string[]) {
  const wg = 64;
  const width = widthOf(e, d_state);
  const lanes = threadsAlong(d_state / width, 8);
  return {
    entry: width === 4 ? `${name}_vec4` : name,
    constants: { WG: wg, LANES: lanes, K: ceilDiv(d_state / width, lanes), T: l === 1 ? 1 : lanes },
    vec4: width === 4 ? vec4 : [],
    workgroups: grid(m * h * ceilDiv(headdim, wg / lanes)),
  };
}

/** Launch of one position on from a state, where subgroups hold a row of it; else undefined. */
function planStep({ m, l, n, h, e, headdim, d_state }: Sizes & Record<'m' | 'l' | 'n', number>, caps: GpuCaps) {
  if (l !== 1 || n === 0 || d_state < 64 || widthOf(e, d_state) === 1 || headdim % 4 || !shuffles(caps)) return undefined;
  // More rows a team are more loads on the way at once; few rows in all want many teams.
  const [wg, rows] = [256, m * e >= 16384 ? 4 : 2];
  return {
    entry: 'forward_step',
    enable: ['subgroups'],
    constants: { WG: wg, R: rows, K: ceilDiv(d_state, 128) },
    vec4: ['xbc', 'state'],
    workgroups: grid(ceilDiv(m * h * headdim, (wg / 32) * rows)),
  };
}

/** Launch of the entries that sum over p. */
function planColumns(name: string, { m, h, e, headdim, d_state }: Sizes & { m: number }, vec4: string[]) {
  const width = widthOf(e, d_state);
  const lanes = threadsAlong(d_state / width, 32);
  // About 8 rows a thread.
  const wg = Math.max(32, lanes * threadsAlong(headdim / 8, 256 / lanes));
  return {
    entry: width === 4 ? `${name}_vec4` : name,
    constants: {
      WG: wg,
      LANES: lanes,
      KV: ceilDiv(d_state / width, lanes),
      R: ceilDiv(headdim * lanes, wg),
      // Two positions at a time, where workgroup memory holds their rows.
      T: headdim <= 256 ? 2 : 1,
    },
    vec4: width === 4 ? vec4 : [],
    workgroups: grid(m * h),
  };
}

export const ssd = {
  forward: entry('ssd', 'forward', shader, {
    tensors: {
      xbc: { shape: 'm l c', io: 'in' },
      zxbcdt: { shape: 'm l s', io: 'in' },
      A_log: { shape: 'h', io: 'in' },
      dt_bias: { shape: 'h', io: 'in' },
      D: { shape: 'h', io: 'in' },
      state: { shape: 'm h p n', io: 'inout', optional: true },
      y: { shape: 'm l e', io: 'out' },
    },
    attrs: { ngroups: 'u32', headdim: 'u32', d_state: 'u32' },
    check: (d) => check(d) ?? checkState(d),
    reference({ xbc, zxbcdt, A_log, dt_bias, D, state, y }, { m, l, c, s, h, e, ngroups, headdim: p, d_state: n }) {
      for (let i = 0; i < m; i++) {
        for (let k = 0; k < h; k++) {
          const group = Math.floor(k / (h / ngroups));
          const H = new Float64Array(p * n);
          for (let q = 0; q < p * n; q++) H[q] = state?.[(i * h + k) * p * n + q] ?? 0;
          for (let t = 0; t < l; t++) {
            const row = i * l + t;
            const dt = softplus(zxbcdt[row * s + s - h + k]! + dt_bias[k]!);
            const decay = Math.exp(dt * -Math.exp(A_log[k]!));
            const B = row * c + e + group * n;
            const C = B + ngroups * n;
            for (let r = 0; r < p; r++) {
              const x = xbc[row * c + k * p + r]!;
              let sum = D[k]! * x;
              for (let q = 0; q < n; q++) {
                H[r * n + q] = decay * H[r * n + q]! + dt * x * xbc[B + q]!;
                sum += H[r * n + q]! * xbc[C + q]!;
              }
              y[row * e + k * p + r] = sum;
            }
          }
          state?.set(H, (i * h + k) * p * n);
        }
      }
    },
    webgpu: (d, caps) => planStep(d, caps) ?? planRows('forward', d, ['xbc', 'state']),
    flops: ({ m, l, e, d_state }) => m * l * e * (5 * d_state + 2),
    wasmScratch: ({ d_state }) => TILE_ROWS * d_state * 4,
    wasmParts: true,
    tolerance: { f32: 5e-6, reason: 'one exp a position, carried along the sequence, and n products summed in f32' },
  }),

  /** Forwards: dC_t = H_tᵀ dy_t of every head, and past = [dy_t·(exp(dt_t A) H_{t-1}) C_t, dy_t·x_t]. */
  backward_past: entry('ssd', 'backward_past', shader, {
    tensors: {
      xbc: { shape: 'm l c', io: 'in' },
      zxbcdt: { shape: 'm l s', io: 'in' },
      A_log: { shape: 'h', io: 'in' },
      dt_bias: { shape: 'h', io: 'in' },
      dy: { shape: 'm l e', io: 'in' },
      dC: { shape: 'm l h n', io: 'out' },
      past: { shape: 'm l h 2', io: 'out' },
    },
    attrs: { ngroups: 'u32', headdim: 'u32', d_state: 'u32' },
    check: checkColumns,
    reference({ xbc, zxbcdt, A_log, dt_bias, dy, dC, past }, { m, l, c, s, h, e, ngroups, headdim: p, d_state: n }) {
      dC.fill(0);
      past.fill(0);
      for (let i = 0; i < m; i++) {
        for (let k = 0; k < h; k++) {
          const group = Math.floor(k / (h / ngroups));
          const H = new Float64Array(p * n);
          for (let t = 0; t < l; t++) {
            const row = i * l + t;
            const at = row * h + k;
            const dt = softplus(zxbcdt[row * s + s - h + k]! + dt_bias[k]!);
            const decay = Math.exp(dt * -Math.exp(A_log[k]!));
            const B = row * c + e + group * n;
            const C = B + ngroups * n;
            for (let r = 0; r < p; r++) {
              const x = xbc[row * c + k * p + r]!;
              const g = dy[row * e + k * p + r]!;
              past[at * 2 + 1]! += g * x;
              for (let q = 0; q < n; q++) {
                const before = decay * H[r * n + q]!;
                past[at * 2]! += g * before * xbc[C + q]!;
                H[r * n + q] = before + dt * x * xbc[B + q]!;
                // forward: y = H C + D x  ⇒  dC += Hᵀ dy
                dC[at * n + q]! += g * H[r * n + q]!;
              }
            }
          }
        }
      }
    },
    webgpu: (d) => planColumns('backward_past', d, ['xbc', 'dC']),
    flops: ({ m, l, e, d_state }) => m * l * e * 5 * d_state,
    wasmScratch: ({ headdim, d_state }) => headdim * d_state * 4,
    wasmParts: true,
    tolerance: { f32: 5e-6, reason: 'as forward' },
  }),

  /**
   * Backwards: dB_t = dt_t dH_tᵀ x_t of every head, dH_t = exp(dt_{t+1} A) dH_{t+1} + dy_t ⊗ C_t, and
   * future = [x_t·(exp(dt_{t+1} A) dH_{t+1}) B_t, x_t·dH_t B_t].
   */
  backward_future: entry('ssd', 'backward_future', shader, {
    tensors: {
      xbc: { shape: 'm l c', io: 'in' },
      zxbcdt: { shape: 'm l s', io: 'in' },
      A_log: { shape: 'h', io: 'in' },
      dt_bias: { shape: 'h', io: 'in' },
      dy: { shape: 'm l e', io: 'in' },
      dB: { shape: 'm l h n', io: 'out' },
      future: { shape: 'm l h 2', io: 'out' },
    },
    attrs: { ngroups: 'u32', headdim: 'u32', d_state: 'u32' },
    check: checkColumns,
    reference({ xbc, zxbcdt, A_log, dt_bias, dy, dB, future }, { m, l, c, s, h, e, ngroups, headdim: p, d_state: n }) {
      dB.fill(0);
      future.fill(0);
      for (let i = 0; i < m; i++) {
        for (let k = 0; k < h; k++) {
          const group = Math.floor(k / (h / ngroups));
          const dH = new Float64Array(p * n);
          let decay = 0;
          for (let t = l - 1; t >= 0; t--) {
            const row = i * l + t;
            const at = row * h + k;
            const dt = softplus(zxbcdt[row * s + s - h + k]! + dt_bias[k]!);
            const B = row * c + e + group * n;
            const C = B + ngroups * n;
            for (let r = 0; r < p; r++) {
              const x = xbc[row * c + k * p + r]!;
              for (let q = 0; q < n; q++) {
                const after = decay * dH[r * n + q]!;
                // forward: y = H C + D x  ⇒  dH += dy ⊗ C
                dH[r * n + q] = after + dy[row * e + k * p + r]! * xbc[C + q]!;
                future[at * 2]! += x * after * xbc[B + q]!;
                future[at * 2 + 1]! += x * dH[r * n + q]! * xbc[B + q]!;
                // forward: H = exp(dt A) H' + dt x ⊗ B  ⇒  dB += dt dHᵀ x, dH' = exp(dt A) dH
                dB[at * n + q]! += dt * dH[r * n + q]! * x;
              }
            }
            decay = Math.exp(dt * -Math.exp(A_log[k]!));
          }
        }
      }
    },
    webgpu: (d) => planColumns('backward_future', d, ['xbc', 'dB']),
    flops: ({ m, l, e, d_state }) => m * l * e * 5 * d_state,
    wasmScratch: ({ headdim, d_state }) => headdim * d_state * 4,
    wasmParts: true,
    tolerance: { f32: 5e-6, reason: 'as forward' },
  }),

  /** dx_t = dt_t dH_t B_t + D dy_t, overwriting the x columns of dxbc. */
  backward: entry('ssd', 'backward', shader, {
    tensors: {
      xbc: { shape: 'm l c', io: 'in' },
      zxbcdt: { shape: 'm l s', io: 'in' },
      A_log: { shape: 'h', io: 'in' },
      dt_bias: { shape: 'h', io: 'in' },
      D: { shape: 'h', io: 'in' },
      dy: { shape: 'm l e', io: 'in' },
      dxbc: { shape: 'm l c', io: 'inout' },
    },
    attrs: { ngroups: 'u32', headdim: 'u32', d_state: 'u32' },
    check,
    reference({ xbc, zxbcdt, A_log, dt_bias, D, dy, dxbc }, { m, l, c, s, h, e, ngroups, headdim: p, d_state: n }) {
      for (let i = 0; i < m; i++) {
        for (let k = 0; k < h; k++) {
          const group = Math.floor(k / (h / ngroups));
          const dH = new Float64Array(p * n);
          let decay = 0;
          for (let t = l - 1; t >= 0; t--) {
            const row = i * l + t;
            const dt = softplus(zxbcdt[row * s + s - h + k]! + dt_bias[k]!);
            const B = row * c + e + group * n;
            const C = B + ngroups * n;
            for (let r = 0; r < p; r++) {
              const g = dy[row * e + k * p + r]!;
              // forward: y = H C + D x  ⇒  dH += dy ⊗ C, dx += D dy
              let sum = D[k]! * g;
              for (let q = 0; q < n; q++) {
                dH[r * n + q] = decay * dH[r * n + q]! + g * xbc[C + q]!;
                // forward: H = exp(dt A) H' + dt x ⊗ B  ⇒  dx += dt dH B, dH' = exp(dt A) dH
                sum += dt * dH[r * n + q]! * xbc[B + q]!;
              }
              dxbc[row * c + k * p + r] = sum;
            }
            decay = Math.exp(dt * -Math.exp(A_log[k]!));
          }
        }
      }
    },
    webgpu: (d) => planRows('backward', d, ['xbc']),
    flops: ({ m, l, e, d_state }) => m * l * e * (5 * d_state + 3),
    wasmScratch: ({ d_state }) => TILE_ROWS * d_state * 4,
    wasmParts: true,
    tolerance: { f32: 5e-6, reason: 'as forward' },
  }),

  /**
   * The gradient of dt, overwriting the dt columns of dzxbcdt (rows as in_proj's output), and each sequence's
   * [dA_log, dD, ddt_bias]. With E_t = ⟨dH_t, exp(dt_t A) H_{t-1}⟩, all that flows from before t to t or later:
   * E_t = E_{t+1} + past_t - dt_t·future_t, or 0 where dt_t A < NOTHING: there the sum holds only what rounding gathered, and
   * a large dt would magnify it.
   */
  backward_dt: entry('ssd', 'backward_dt', shader, {
    tensors: {
      zxbcdt: { shape: 'm l s', io: 'in' },
      A_log: { shape: 'h', io: 'in' },
      dt_bias: { shape: 'h', io: 'in' },
      past: { shape: 'm l h 2', io: 'in' },
      future: { shape: 'm l h 2', io: 'in' },
      dzxbcdt: { shape: 'm l s', io: 'inout' },
      grads: { shape: 'm 3 h', io: 'out' },
    },
    check: (d) => checkDt({ s: d.s!, h: d.h! }),
    reference({ zxbcdt, A_log, dt_bias, past, future, dzxbcdt, grads }, { m, l, s, h }) {
      grads.fill(0);
      for (let i = 0; i < m; i++) {
        for (let k = 0; k < h; k++) {
          const A = -Math.exp(A_log[k]!);
          const to = i * 3 * h + k;
          let E = 0;
          for (let t = l - 1; t >= 0; t--) {
            const row = i * l + t;
            const at = (row * h + k) * 2;
            const raw = zxbcdt[row * s + s - h + k]! + dt_bias[k]!;
            const dt = softplus(raw);
            E += past[at]! - dt * future[at]!;
            if (dt * A < NOTHING) E = 0;
            // forward: H = exp(dt A) H' + dt x ⊗ B  ⇒  d(dt) = A E + x·dH B, dA += dt E; A = -exp(A_log)  ⇒  dA_log = dA·A
            // forward: dt = softplus(raw)  ⇒  draw = d(dt)·σ(raw), ddt_bias += draw
            const draw = (A * E + future[at + 1]!) * sigmoid(raw);
            dzxbcdt[row * s + s - h + k] = draw;
            grads[to]! += dt * E * A;
            // forward: y = H C + D x  ⇒  dD += dy·x
            grads[to + h]! += past[at + 1]!;
            grads[to + 2 * h]! += draw;
          }
        }
      }
    },
    webgpu: ({ m, h }) => ({ constants: { WG: 64 }, workgroups: grid(ceilDiv(m * h, 64)) }),
    tolerance: { f32: 5e-6, reason: 'a running sum over l, and sums of it' },
  }),

  /** Sums over the heads of a group into the B and C columns of dxbc, overwriting them, and over sequences into the parameters. */
  backward_sum: entry('ssd', 'backward_sum', shader, {
    tensors: {
      dB: { shape: 'm l h n', io: 'in' },
      dC: { shape: 'm l h n', io: 'in' },
      grads: { shape: 'm 3 h', io: 'in' },
      dxbc: { shape: 'm l c', io: 'inout' },
      dA_log: { shape: 'h', io: 'inout' },
      dD: { shape: 'h', io: 'inout' },
      ddt_bias: { shape: 'h', io: 'inout' },
    },
    attrs: { ngroups: 'u32' },
    check({ h, n, c, ngroups }) {
      if (!(ngroups > 0) || h % ngroups !== 0)
        return `${h} heads do not divide into ngroups = ${ngroups}; pass an ngroups that divides h.`;
      if (c < 2 * ngroups * n)
        return `dxbc has rows of c = ${c}, shorter than B and C of ${ngroups}·${n} each; pass the gradient of [x | B | C].`;
      return undefined;
    },
    reference({ dB, dC, grads, dxbc, dA_log, dD, ddt_bias }, { m, l, h, n, c, ngroups }) {
      const heads = h / ngroups;
      for (let row = 0; row < m * l; row++) {
        for (let group = 0; group < ngroups; group++) {
          for (let q = 0; q < n; q++) {
            const C = (row + 1) * c - (ngroups - group) * n + q;
            const B = C - ngroups * n;
            dxbc[B] = 0;
            dxbc[C] = 0;
            for (let k = group * heads; k < (group + 1) * heads; k++) {
              dxbc[B]! += dB[(row * h + k) * n + q]!;
              dxbc[C]! += dC[(row * h + k) * n + q]!;
            }
          }
        }
      }
      for (let i = 0; i < m; i++) {
        for (let k = 0; k < h; k++) {
          dA_log[k]! += grads[i * 3 * h + k]!;
          dD[k]! += grads[(i * 3 + 1) * h + k]!;
          ddt_bias[k]! += grads[(i * 3 + 2) * h + k]!;
        }
      }
    },
    webgpu: ({ m, l, h, n, ngroups }) => ({
      constants: { WG: 64 },
      workgroups: grid(ceilDiv(m * l * ngroups * n + h, 64)),
    }),
    flops: ({ m, l, h, n }) => 2 * m * l * h * n,
    wasmParts: true,
    tolerance: { f32: 2e-6, reason: 'sums over heads and over m' },
  }),
};

/** Tensors of `ssdBackward`: forward's, and gradients of their shapes. */
export type SsdGrads = Record<
  'xbc' | 'zxbcdt' | 'A_log' | 'dt_bias' | 'D' | 'dy' | 'dxbc' | 'dzxbcdt' | 'dA_log' | 'ddt_bias' | 'dD',
  Tensor
>;

/**
 * Gradients of `forward` from a zero state. Overwrites dxbc and the dt columns of dzxbcdt (its other columns are not
 * touched); adds to dA_log, ddt_bias and dD.
 */
export function ssdBackward(backend: Backend, t: SsdGrads, attrs: { ngroups: number; headdim: number; d_state: number }): void {
  const { xbc, zxbcdt, A_log, dt_bias, D, dy, dxbc, dzxbcdt, dA_log, ddt_bias, dD } = t;
  const [m, l] = xbc.shape as [number, number, number];
  const h = A_log.shape[0]!;
  const dB = backend.tensor([m, l, h, attrs.d_state]);
  const dC = backend.tensor([m, l, h, attrs.d_state]);
  const past = backend.tensor([m, l, h, 2]);
  const future = backend.tensor([m, l, h, 2]);
  const grads = backend.tensor([m, 3, h]);
  backend.run(ssd.backward_past, { xbc, zxbcdt, A_log, dt_bias, dy, dC, past }, attrs);
  backend.run(ssd.backward_future, { xbc, zxbcdt, A_log, dt_bias, dy, dB, future }, attrs);
  backend.run(ssd.backward, { xbc, zxbcdt, A_log, dt_bias, D, dy, dxbc }, attrs);
  backend.run(ssd.backward_dt, { zxbcdt, A_log, dt_bias, past, future, dzxbcdt, grads });
  backend.run(ssd.backward_sum, { dB, dC, grads, dxbc, dA_log, dD, ddt_bias }, { ngroups: attrs.ngroups });
  backend.free(dB, dC, past, future, grads);
}
