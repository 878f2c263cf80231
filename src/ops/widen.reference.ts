/** The float64 reference of widen.ts, which states the equations. */
import type { References } from './spec.js';
import type { widen } from './widen.js';

export const references: References<typeof widen> = {
  forward({ x, y }, { n }) {
    for (let i = 0; i < n; i++) y[i] = x[i]!;
  },
};
