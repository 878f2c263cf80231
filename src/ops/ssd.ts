/**
 * Mamba-2's state-space recurrence, SSD (arXiv 2405.21060), a whole sequence or one step. For each head, p × n:
 * H_t = exp(dt_t A) H_{t-1} + dt_t·x_t ⊗ B_t,  y_t = H_t C_t + D x_t,  dt = softplus(dt + dt_bias), A = -exp(A_log).
 * xbc is the convolution's output [x: e | B: g·n | C: g·n], dt the end of in_proj's output [z|x|B|C|dt: h]; neither is cut
 * up. Head i uses group ⌊i / (h/g)⌋. The state goes from the H before the first position to the H after the last; without
 * it H starts at zero.
 */
import shader from '../../shaders/ssd.wgsl';
import { softplus } from './selective_scan.js';
import { ceilDiv, entry, grid } from './spec.js';

/** Rows of a state tile in assembly/ssd.ts, which wants scratch for one when there is no state. */
const TILE_ROWS = 16;

interface Sizes {
  c: number;
  s: number;
  h: number;
  p: number;
  n: number;
  e: number;
  ngroups: number;
  headdim: number;
  d_state: number;
}

function check({ c, s, h, p, n, e, ngroups, headdim, d_state }: Sizes): string | undefined {
  for (const [name, value] of Object.entries({ ngroups, headdim, d_state }))
    if (!(value > 0)) return `the attribute ${name} is ${value}; pass the model's ${name}, at least 1.`;
  if (h % ngroups !== 0) return `${h} heads do not divide into ngroups = ${ngroups}; pass an ngroups that divides h.`;
  if (e !== h * headdim)
    return `e = ${e} is not h·headdim = ${h}·${headdim}; pass A_log of e/headdim heads or the right headdim.`;
  if (c !== e + 2 * ngroups * d_state)
    return `xbc has rows of c = ${c}, expected e + 2·ngroups·d_state = ${e + 2 * ngroups * d_state}; pass [x | B | C] or the right attributes.`;
  if (s < h) return `zxbcdt has rows of s = ${s}, shorter than dt of h = ${h}; pass in_proj's whole output [z | x | B | C | dt].`;
  if ((p !== 0 || n !== 0) && (p !== headdim || n !== d_state))
    return `state holds heads of ${p} × ${n}, expected headdim × d_state = ${headdim} × ${d_state}; pass a state of [m, h, headdim, d_state].`;
  return undefined;
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
    check,
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
    webgpu({ m, l, h, e, headdim, d_state }) {
      const wg = 64;
      const width = d_state % 4 === 0 && e % 4 === 0 ? 4 : 1;
      const vectors = d_state / width;
      let lanes = 1;
      while (lanes < 8 && lanes < vectors) lanes *= 2;
      return {
        entry: width === 4 ? 'forward_vec4' : 'forward',
        constants: { WG: wg, LANES: lanes, K: ceilDiv(vectors, lanes), T: l === 1 ? 1 : lanes },
        vec4: width === 4 ? ['xbc', 'state'] : [],
        workgroups: grid(m * h * ceilDiv(headdim, wg / lanes)),
      };
    },
    flops: ({ m, l, e, d_state }) => m * l * e * (5 * d_state + 2),
    wasmScratch: ({ d_state }) => TILE_ROWS * d_state * 4,
    tolerance: { f32: 5e-6, reason: 'one exp a position, carried along the sequence, and n products summed in f32' },
  }),
};
