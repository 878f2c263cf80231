/** The float64 reference of mix.ts, which states the equations. */
import type { mix } from './mix.js';
import type { References } from './spec.js';

export const references: References<typeof mix> = {
  forward({ x, z, share, y }, { m, d }) {
    for (let i = 0; i < m; i++) for (let j = i * d; j < (i + 1) * d; j++) y[j] = (1 - share[i]!) * x[j]! + share[i]! * z[j]!;
  },
};
