/** Float64 reference of ssd.ts, where the equations are. */
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
