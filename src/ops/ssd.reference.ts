/** The float64 reference of ssd.ts, which states the equations. */
import { softplus } from './selective_scan.reference.js';
import { sigmoid } from './silu.reference.js';
import type { References } from './spec.js';
import type { ssd } from './ssd.js';

export const references: References<typeof ssd> = {
  forward({ xbc, zxbcdt, A_log, dt_bias, D, state, y }, { m, l, c, s, h, e, ngroups, headdim: p, d_state: n }) {
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

  backward(t, { m, l, c, s, h, e, ngroups, headdim: p, d_state: n }) {
    const { xbc, zxbcdt, A_log, dt_bias, D, dy, dxbc, dzxbcdt, grads } = t;
    dxbc.fill(0);
    grads.fill(0);
    for (let i = 0; i < m; i++) {
      for (let k = 0; k < h; k++) {
        const group = Math.floor(k / (h / ngroups));
        const A = -Math.exp(A_log[k]!);
        const to = i * 3 * h + k;
        const stepAt = (t: number) => zxbcdt[(i * l + t + 1) * s - h + k]! + dt_bias[k]!;
        // States before each position, and after the last.
        const H = new Float64Array((l + 1) * p * n);
        for (let t = 0; t < l; t++) {
          const row = (i * l + t) * c;
          const dt = softplus(stepAt(t));
          for (let r = 0; r < p; r++) {
            for (let q = 0; q < n; q++) {
              const at = (t * p + r) * n + q;
              H[at + p * n] = Math.exp(dt * A) * H[at]! + dt * xbc[row + k * p + r]! * xbc[row + e + group * n + q]!;
            }
          }
        }
        const dH = new Float64Array(p * n);
        for (let t = l - 1; t >= 0; t--) {
          const row = (i * l + t) * c;
          const B = row + e + group * n;
          const C = B + ngroups * n;
          const dt = softplus(stepAt(t));
          const decay = Math.exp(dt * A);
          let through = 0;
          let given = 0;
          for (let r = 0; r < p; r++) {
            const x = row + k * p + r;
            const g = dy[(i * l + t) * e + k * p + r]!;
            // forward: y = H C + D x  ⇒  dH += dy ⊗ C, dC += Hᵀ dy, dx += D dy, dD += dy·x
            dxbc[x]! += D[k]! * g;
            grads[to + h]! += g * xbc[x]!;
            for (let q = 0; q < n; q++) {
              const at = (t * p + r) * n + q;
              dH[r * n + q]! += g * xbc[C + q]!;
              dxbc[C + q]! += g * H[at + p * n]!;
              // forward: H = exp(dt A) H' + dt x ⊗ B
              //   ⇒  dB += dt dHᵀ x, dx += dt dH B, d(dt) = x·dH B + A·exp(dt A)⟨dH, H'⟩, dA += dt·exp(dt A)⟨dH, H'⟩, dH' = exp(dt A) dH
              const d = dH[r * n + q]!;
              dxbc[B + q]! += dt * d * xbc[x]!;
              dxbc[x]! += dt * d * xbc[B + q]!;
              given += d * xbc[x]! * xbc[B + q]!;
              through += d * decay * H[at]!;
              dH[r * n + q] = decay * d;
            }
          }
          // forward: dt = softplus(raw), A = -exp(A_log)
          const draw = (given + A * through) * sigmoid(stepAt(t));
          dzxbcdt[(i * l + t + 1) * s - h + k] = draw;
          grads[to + 2 * h]! += draw;
          grads[to]! += dt * through * A;
        }
      }
    }
  },

  backward_sum({ grads, dA_log, dD, ddt_bias }, { m, h }) {
    for (let i = 0; i < m; i++) {
      for (let k = 0; k < h; k++) {
        dA_log[k]! += grads[i * 3 * h + k]!;
        dD[k]! += grads[(i * 3 + 1) * h + k]!;
        ddt_bias[k]! += grads[(i * 3 + 2) * h + k]!;
      }
    }
  },
};

/**
 * Forward without a state in the blocked dual form of the paper (arXiv 2405.21060, section 6), which shaders/ssd.wgsl computes for
 * whole sequences. The numbers are those of the passes there. Tests compare it with the recurrence above.
 */
export const ssdBlocked: References<typeof ssd>['forward'] = ({ xbc, zxbcdt, A_log, dt_bias, D, y }, d) => {
  const { m, l, c, s, h, e, ngroups, headdim: p, d_state: n } = d;
  for (let i = 0; i < m; i++) {
    for (let k = 0; k < h; k++) {
      // 1. Step sizes, and sums of a = dt·A, so that the decay from j to t is exp(a_{j+1} + … + a_t).
      const raw = Array.from({ length: l }, (_, t) => zxbcdt[(i * l + t + 1) * s - h + k]! + dt_bias[k]!);
      const dt = raw.map(softplus);
      const a = dt.map((step) => step * -Math.exp(A_log[k]!));
      const sum = (from: number, to: number) => a.slice(from, to).reduce((x, v) => x + v, 0);
      // 2. Scores S_tj = C_t·B_j, the same for all heads of a group.
      const group = e + Math.floor(k / (h / ngroups)) * n;
      const score = (t: number, j: number) => {
        const [B, C] = [(i * l + j) * c + group, (i * l + t) * c + group + ngroups * n];
        return dot(xbc, C, xbc, B, n);
      };
      // 3. Each output block is a sum over the blocks up to its own.
      for (let t = 0; t < l; t++) {
        const first = Math.floor(t / BLOCK) * BLOCK;
        const weights = new Float64Array(t + 1);
        for (let j = 0; j <= t; j++) {
          const end = Math.floor(j / BLOCK + 1) * BLOCK;
          // Within a block the decay is computed as it is; between blocks it is a product of the rest of j's block, the blocks in
          // between, and the begin of t's block, so that whole blocks are products of matrices.
          const decay =
            end > first
              ? Math.exp(sum(j + 1, t + 1))
              : Math.exp(sum(j + 1, end)) * Math.exp(sum(end, first)) * Math.exp(sum(first, t + 1));
          weights[j] = score(t, j) * decay * dt[j]!;
        }
        for (let r = 0; r < p; r++) {
          const x = (j: number) => xbc[(i * l + j) * c + k * p + r]!;
          y[(i * l + t) * e + k * p + r] = weights.reduce((total, w, j) => total + w * x(j), 0) + D[k]! * x(t);
        }
      }
    }
  }
};

/** Positions of a block; small, so that short sequences have several. */
const BLOCK = 4;

function dot(a: ArrayLike<number>, at: number, b: ArrayLike<number>, from: number, n: number): number {
  let sum = 0;
  for (let q = 0; q < n; q++) sum += a[at + q]! * b[from + q]!;
  return sum;
}
