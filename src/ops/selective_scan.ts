/**
 * Mamba-1's selective scan (arXiv 2312.00752), a whole sequence or one step:
 * h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t x_t,  y_t = (C_t·h_t + D x_t)·SiLU(z_t),  Δ = softplus(dt), A = -exp(A_log).
 * bc is x_proj's output [r | B: n | C: n], z is in_proj's output [x | z: e]; neither is cut up. The state goes from the h
 * before the first position to the h after the last; without it h starts at zero.
 */
import shader from '../../shaders/selective_scan.wgsl';
import { sigmoid } from './silu.js';
import { ceilDiv, entry, grid } from './spec.js';

export const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

const MAX_STATE = 64;

/** Positions of a block in assembly/selective_scan.ts. */
const BLOCK = 16;

function check({ e, n, s, f }: Record<string, number>): string | undefined {
  if (n < 1 || n > MAX_STATE) return `A_log has n = ${n} states a channel, expected 1 to ${MAX_STATE}; set d_state within it.`;
  if (s < 2 * n) return `bc has rows of s = ${s}, shorter than B and C of n = ${n} each; pass x_proj's whole output [r | B | C].`;
  if (f < e) return `z has rows of f = ${f}, shorter than e = ${e}; pass in_proj's whole output [x | z].`;
  return undefined;
}

export const selectiveScan = {
  forward: entry('selective_scan', 'forward', shader, {
    tensors: {
      x: { shape: 'm l e', io: 'in' },
      dt: { shape: 'm l e', io: 'in' },
      A_log: { shape: 'e n', io: 'in' },
      bc: { shape: 'm l s', io: 'in' },
      D: { shape: 'e', io: 'in' },
      z: { shape: 'm l f', io: 'in' },
      state: { shape: 'm e n', io: 'inout', optional: true },
      y: { shape: 'm l e', io: 'out' },
    },
    check,
    reference({ x, dt, A_log, bc, D, z, state, y }, { m, l, e, n, s, f }) {
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < e; j++) {
          const h = new Float64Array(n);
          for (let k = 0; k < n; k++) h[k] = state?.[(i * e + j) * n + k] ?? 0;
          for (let t = 0; t < l; t++) {
            const row = i * l + t;
            const delta = softplus(dt[row * e + j]!);
            const xt = x[row * e + j]!;
            const zt = z[row * f + f - e + j]!;
            let sum = D[j]! * xt;
            for (let k = 0; k < n; k++) {
              const A = -Math.exp(A_log[j * n + k]!);
              h[k] = Math.exp(delta * A) * h[k]! + delta * bc[row * s + s - 2 * n + k]! * xt;
              sum += bc[row * s + s - n + k]! * h[k]!;
            }
            y[row * e + j] = sum * zt * sigmoid(zt);
          }
          state?.set(h, (i * e + j) * n);
        }
      }
    },
    webgpu({ m, l, e, n }) {
      const [wg, lanes] = [128, 4];
      return {
        constants: { WG: wg, LANES: lanes, K: ceilDiv(n, lanes), T: l === 1 ? 1 : lanes },
        workgroups: grid(m * ceilDiv(e, wg / lanes)),
      };
    },
    flops: ({ m, l, e, n }) => m * l * e * (7 * n + 8),
    // A and h of four channels, then their Δ, Δx and C·h at a block of positions.
    wasmScratch: ({ n }) => (8 * n + 12 * BLOCK) * 4,
    tolerance: { f32: 5e-6, reason: 'an exp of a rounded product per position and state, carried along the sequence' },
  }),
};
