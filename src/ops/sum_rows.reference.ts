/** The float64 reference of sum_rows.ts, which states the equations. */
import type { References } from './spec.js';
import type { sumRows } from './sum_rows.js';

export const references: References<typeof sumRows> = {
  forward({ x, y }, { r, n }) {
    for (let i = 0; i < r; i++) for (let j = 0; j < n; j++) y[j] = y[j]! + x[i * n + j]!;
  },
};
