/** The float64 reference of causal_conv1d.ts, which states the equations. */
import type { causalConv1d } from './causal_conv1d.js';
import { sigmoid, siluSlope } from './silu.reference.js';
import type { References } from './spec.js';

export const references: References<typeof causalConv1d> = {
  forward({ x, weight, bias, state, y }, { m, l, s, c, k, offset }) {
    for (let i = 0; i < m; i++) {
      for (let ch = 0; ch < c; ch++) {
        const all = new Float64Array(k - 1 + l);
        for (let j = 0; j < k - 1; j++) all[j] = state?.[(i * c + ch) * (k - 1) + j] ?? 0;
        for (let t = 0; t < l; t++) all[k - 1 + t] = x[(i * l + t) * s + offset + ch]!;
        for (let t = 0; t < l; t++) {
          let u = bias[ch]!;
          for (let j = 0; j < k; j++) u += weight[ch * k + j]! * all[t + j]!;
          y[(i * l + t) * c + ch] = u * sigmoid(u);
        }
        if (state) for (let j = 0; j < k - 1; j++) state[(i * c + ch) * (k - 1) + j] = all[l + j]!;
      }
    }
  },

  backward({ x, weight, bias, dy, dx, dweight_rows, dbias_rows }, { m, l, s, c, k, w, offset }) {
    const parts = w / m;
    const span = Math.ceil(l / parts);
    dweight_rows.fill(0);
    dbias_rows.fill(0);
    for (let i = 0; i < m; i++) {
      for (let t = 0; t < l; t++) for (let ch = 0; ch < c; ch++) dx[(i * l + t) * s + offset + ch] = 0;
      for (let t = 0; t < l; t++) {
        const row = i * parts + Math.floor(t / span);
        for (let ch = 0; ch < c; ch++) {
          const at = (j: number) => (i * l + t - (k - 1) + j) * s + offset + ch;
          const first = Math.max(0, k - 1 - t);
          let u = bias[ch]!;
          for (let j = first; j < k; j++) u += weight[ch * k + j]! * x[at(j)]!;
          // forward: y = SiLU(u)  ⇒  du = dy·SiLU'(u)
          const du = dy[(i * l + t) * c + ch]! * siluSlope(u);
          // forward: u[t] = bias + Σⱼ weight[j]·x[t-(k-1)+j]  ⇒  dx[t-(k-1)+j] += du[t]·weight[j], dweight[j] += du[t]·x[t-(k-1)+j]
          for (let j = first; j < k; j++) {
            const to = (row * c + ch) * k + j;
            dx[at(j)] = dx[at(j)]! + du * weight[ch * k + j]!;
            dweight_rows[to] = dweight_rows[to]! + du * x[at(j)]!;
          }
          dbias_rows[row * c + ch] = dbias_rows[row * c + ch]! + du;
        }
      }
    }
  },
};
