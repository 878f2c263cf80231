/** The float64 reference of relu.ts, which states the equation. */
import type { relu } from './relu.js';
import type { References } from './spec.js';

export const references: References<typeof relu> = {
  forward({ x, y }, { m, n, s, offset }) {
    for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) y[i * s + offset + j] = Math.max(0, x[i * n + j]!);
  },
};
