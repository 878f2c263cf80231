/** The float64 reference of sum.ts, which states the equations. */
import type { References } from './spec.js';
import type { sum } from './sum.js';

export const references: References<typeof sum> = {
  forward({ x, y }, { n, scale }) {
    let all = 0;
    for (let i = 0; i < n; i++) all += x[i]!;
    y[0] = scale * all;
  },
};
