/** The float64 reference of batch_norm.ts, which states the equations. */
import type { batchNorm } from './batch_norm.js';
import type { References } from './spec.js';

export const references: References<typeof batchNorm> = {
  forward({ x, weight, bias, y, mean, variance }, { m, c, eps }) {
    for (let j = 0; j < c; j++) {
      let sum = 0;
      for (let i = 0; i < m; i++) sum += x[i * c + j]!;
      mean[j] = sum / m;
      let square = 0;
      for (let i = 0; i < m; i++) square += (x[i * c + j]! - mean[j]!) ** 2;
      variance[j] = square / (m - 1);
      const rstd = 1 / Math.sqrt(square / m + eps);
      for (let i = 0; i < m; i++) y[i * c + j] = (x[i * c + j]! - mean[j]!) * rstd * weight[j]! + bias[j]!;
    }
  },

  backward({ x, weight, mean, variance, dy, dx, dweight, dbias }, { m, c, eps }) {
    for (let j = 0; j < c; j++) {
      const rstd = 1 / Math.sqrt((variance[j]! * (m - 1)) / m + eps);
      const unit = (i: number) => (x[i * c + j]! - mean[j]!) * rstd;
      // forward: y = unit·weight + bias  ⇒  dweight += Σ dy·unit, dbias += Σ dy
      let [first, second] = [0, 0];
      for (let i = 0; i < m; i++) {
        first += dy[i * c + j]!;
        second += dy[i * c + j]! * unit(i);
      }
      if (dweight) dweight[j]! += second;
      if (dbias) dbias[j]! += first;
      // forward: unit = (x - mean)·rstd  ⇒  dx = weight·rstd·(dy - mean(dy) - unit·mean(dy·unit))
      for (let i = 0; i < m; i++) dx[i * c + j] = weight[j]! * rstd * (dy[i * c + j]! - first / m - (unit(i) * second) / m);
    }
  },
};
