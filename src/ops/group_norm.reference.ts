/** The float64 reference of group_norm.ts, which states the equations. */
import type { groupNorm, Sizes } from './group_norm.js';
import { sigmoid } from './silu.reference.js';
import type { RefArray, References } from './spec.js';

/** Calls `visit` with the element indices, mean and 1/√(var + eps) of every group. */
function eachGroup(x: RefArray, { b, s, c, groups, eps }: Sizes, visit: (at: number[], mean: number, rstd: number) => void) {
  const width = c / groups;
  for (let n = 0; n < b; n++)
    for (let g = 0; g < groups; g++) {
      const at = Array.from({ length: s * width }, (_, i) => (n * s + Math.floor(i / width)) * c + g * width + (i % width));
      const mean = at.reduce((sum, i) => sum + x[i]!, 0) / at.length;
      const variance = at.reduce((sum, i) => sum + (x[i]! - mean) ** 2, 0) / at.length;
      visit(at, mean, 1 / Math.sqrt(variance + eps));
    }
}

export const references: References<typeof groupNorm> = {
  forward({ x, weight, bias, y }, d) {
    eachGroup(x, d, (at, mean, rstd) => {
      for (const i of at) {
        const v = (x[i]! - mean) * rstd * weight[i % d.c]! + bias[i % d.c]!;
        y[i] = d.swish ? v * sigmoid(v) : v;
      }
    });
  },

  backward({ x, weight, bias, dy, dx, dweight, dbias }, d) {
    eachGroup(x, d, (at, mean, rstd) => {
      const unit = at.map((i) => (x[i]! - mean) * rstd);
      const dunit = at.map((i, n) => {
        const p = Math.floor(i / (d.s * d.c)) * d.c + (i % d.c);
        const v = unit[n]! * weight[i % d.c]! + bias[i % d.c]!;
        const s = sigmoid(v);
        // forward: y = v·σ(v)  ⇒  dv = dy·σ(v)·(1 + v·(1 - σ(v)))
        const dv = d.swish ? dy[i]! * s * (1 + v * (1 - s)) : dy[i]!;
        // forward: v = unit·weight + bias  ⇒  dweight += dv·unit, dbias += dv, dunit = dv·weight
        dweight[p]! += dv * unit[n]!;
        dbias[p]! += dv;
        return dv * weight[i % d.c]!;
      });
      // forward: unit = (x - mean)·rstd  ⇒  dx = rstd·(dunit - mean(dunit) - unit·mean(dunit·unit))
      const first = dunit.reduce((sum, v) => sum + v, 0) / at.length;
      const second = dunit.reduce((sum, v, n) => sum + v * unit[n]!, 0) / at.length;
      at.forEach((i, n) => {
        dx[i] = rstd * (dunit[n]! - first - unit[n]! * second);
      });
    });
  },
};
