/** The float64 reference of add_scaled.ts, which states the equation. */
import type { addScaled } from './add_scaled.js';
import type { References } from './spec.js';

export const references: References<typeof addScaled> = {
  forward({ x, factor, y }, { n }) {
    for (let i = 0; i < n; i++) y[i]! += factor[0]! * x[i]!;
  },
};
