/** The float64 reference of linear.ts, which states the equations. */
import type { linear } from './linear.js';
import { ceilDiv, type References } from './spec.js';

export const references: References<typeof linear> = {
  forward({ x, w, bias, residual, y }, { m, n, k }) {
    const put = (i: number, j: number, sum: number) => {
      y[i * n + j] = (bias?.[j] ?? 0) + sum + (residual?.[i * n + j] ?? 0);
    };
    for (let i = 0; i < m; i++) {
      let j = 0;
      // Four sums at a time do not wait for each other, which takes a third of the time.
      for (; j + 4 <= n; j += 4) {
        let [a, b, c, d] = [0, 0, 0, 0];
        for (let q = 0, u = i * k, v = j * k; q < k; q++, u++, v++) {
          const value = x[u]!;
          a += value * w[v]!;
          b += value * w[v + k]!;
          c += value * w[v + 2 * k]!;
          d += value * w[v + 3 * k]!;
        }
        put(i, j, a);
        put(i, j + 1, b);
        put(i, j + 2, c);
        put(i, j + 3, d);
      }
      for (; j < n; j++) {
        let sum = 0;
        for (let q = 0; q < k; q++) sum += x[i * k + q]! * w[j * k + q]!;
        put(i, j, sum);
      }
    }
  },

  backward_input({ w, dy, dx }, { m, n, k }) {
    dx.fill(0, 0, m * k);
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++)
        // forward: y[m,n] += x[m,k]·w[n,k]  ⇒  dx[m,k] += dy[m,n]·w[n,k]
        for (let q = 0; q < k; q++) dx[i * k + q]! += dy[i * n + j]! * w[j * k + q]!;
  },

  backward_weight({ x, dy, dw, dbias }, { m, n, k, p }) {
    const chunk = ceilDiv(m, p);
    for (let i = 0; i < m; i++) {
      const part = Math.floor(i / chunk);
      for (let j = 0; j < n; j++) {
        const d = dy[i * n + j]!;
        // forward: y[m,n] = bias[n] + …  ⇒  dbias[n] += dy[m,n]
        if (dbias) dbias[part * n + j]! += d;
        // forward: y[m,n] += x[m,k]·w[n,k]  ⇒  dw[n,k] += dy[m,n]·x[m,k]
        for (let q = 0; q < k; q++) dw[(part * n + j) * k + q]! += d * x[i * k + q]!;
      }
    }
  },
};
