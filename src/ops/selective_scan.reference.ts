/** The float64 reference of selective_scan.ts, which states the equations. */
import { blockOf, CHUNK, type selectiveScan } from './selective_scan.js';
import { sigmoid } from './silu.reference.js';
import type { References } from './spec.js';

export const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

export const references: References<typeof selectiveScan> = {
  forward({ x, dt, A_log, bc, D, z, state, y }, { m, l, e, n, s, f }) {
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

  backward_states({ x, dt, A_log, bc, states, scan }, { m, l, e, n, s, k: chunks }) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < e; j++) {
        const h = new Float64Array(n);
        for (let t = 0; t < l; t++) {
          if (t % CHUNK === 0) states.set(h, ((i * chunks + t / CHUNK) * e + j) * n);
          const row = i * l + t;
          const delta = softplus(dt[row * e + j]!);
          let sum = 0;
          for (let k = 0; k < n; k++) {
            const A = -Math.exp(A_log[j * n + k]!);
            h[k] = Math.exp(delta * A) * h[k]! + delta * bc[row * s + s - 2 * n + k]! * x[row * e + j]!;
            sum += bc[row * s + s - n + k]! * h[k]!;
          }
          scan[row * e + j] = sum;
        }
      }
    }
  },

  backward_gate({ x, D, z, dy, scan, dx, dz, skip }, { m, l, e, f }) {
    skip.fill(0);
    for (let i = 0; i < m; i++) {
      for (let t = 0; t < l; t++) {
        for (let j = 0; j < e; j++) {
          const at = (i * l + t) * e + j;
          const zAt = (i * l + t + 1) * f - e + j;
          const zt = z[zAt]!;
          const s = sigmoid(zt);
          // forward: y = (scan + D x)·SiLU(z)  ⇒  dscan = dy·SiLU(z), dz = dy·(scan + D x)·SiLU'(z)
          dz[zAt] = dy[at]! * (scan[at]! + D[j]! * x[at]!) * s * (1 + zt * (1 - s));
          scan[at] = dy[at]! * zt * s;
          // D's term of y gives dx = D·dscan, dD += x·dscan.
          dx[at] = D[j]! * scan[at]!;
          skip[i * e + j]! += x[at]! * scan[at]!;
        }
      }
    }
  },

  backward({ x, dt, A_log, bc, states, dx, ddt, parts }, { m, l, e, n, s, k: chunks, b, w }) {
    parts.fill(0);
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < e; j++) {
        const A = Float64Array.from({ length: n }, (_, k) => -Math.exp(A_log[j * n + k]!));
        const dA = new Float64Array(n);
        const dh = new Float64Array(n);
        for (let chunk = chunks - 1; chunk >= 0; chunk--) {
          const t0 = chunk * CHUNK;
          const t1 = Math.min(t0 + CHUNK, l);
          const first = ((i * chunks + chunk) * e + j) * n;
          const hs = [chunk === 0 ? new Float64Array(n) : Float64Array.from(states.subarray(first, first + n))];
          for (let t = t0; t < t1; t++) {
            const row = i * l + t;
            const delta = softplus(dt[row * e + j]!);
            const B = row * s + s - 2 * n;
            hs.push(hs[t - t0]!.map((v, k) => Math.exp(delta * A[k]!) * v + delta * bc[B + k]! * x[row * e + j]!));
          }
          for (let t = t1 - 1; t >= t0; t--) {
            const row = i * l + t;
            const delta = softplus(dt[row * e + j]!);
            const xt = x[row * e + j]!;
            const B = row * s + s - 2 * n;
            const C = B + n;
            const part = (row * b + Math.floor(j / blockOf(n))) * w;
            const [before, h] = [hs[t - t0]!, hs[t - t0 + 1]!];
            const dscan = ddt[row * e + j]!;
            let ddelta = 0;
            for (let k = 0; k < n; k++) {
              // forward: scan = C·h  ⇒  dC += dscan·h, dh += dscan·C
              parts[part + n + k]! += dscan * h[k]!;
              dh[k]! += dscan * bc[C + k]!;
              // forward: h = exp(Δ A) h' + Δ B x  ⇒  dB += dh·Δ x, dx += dh·Δ B, dΔ += dh·(A exp(Δ A) h' + B x),
              //   dA += dh·Δ exp(Δ A) h', dh' = exp(Δ A) dh
              const decay = Math.exp(delta * A[k]!);
              parts[part + k]! += dh[k]! * delta * xt;
              dx[row * e + j]! += dh[k]! * delta * bc[B + k]!;
              ddelta += dh[k]! * (A[k]! * decay * before[k]! + bc[B + k]! * xt);
              dA[k]! += dh[k]! * delta * decay * before[k]!;
              dh[k]! *= decay;
            }
            // forward: Δ = softplus(dt)  ⇒  ddt = dΔ·σ(dt)
            ddt[row * e + j] = ddelta * sigmoid(dt[row * e + j]!);
          }
        }
        // forward: A = -exp(A_log)  ⇒  dA_log = dA·A
        for (let k = 0; k < n; k++) states[(i * chunks * e + j) * n + k] = dA[k]! * A[k]!;
      }
    }
  },

  backward_sum({ states, parts, skip, dbc, dA_log, dD }, { m, k, e, n, l, b, w, s }) {
    for (let row = 0; row < m * l; row++) {
      for (let q = 0; q < w; q++) {
        let sum = 0;
        for (let c = 0; c < b; c++) sum += parts[(row * b + c) * w + q]!;
        dbc[(row + 1) * s - w + q] = sum;
      }
    }
    for (let i = 0; i < m; i++) {
      for (let q = 0; q < e * n; q++) dA_log[q]! += states[i * k * e * n + q]!;
      for (let j = 0; j < e; j++) dD[j]! += skip[i * e + j]!;
    }
  },
};
