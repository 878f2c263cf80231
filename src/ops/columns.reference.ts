/** The float64 reference of columns.ts, which states the equations. */
import type { columns } from './columns.js';
import type { References } from './spec.js';

export const references: References<typeof columns> = {
  forward({ x, y }, { m, s, c, offset }) {
    for (let i = 0; i < m; i++) for (let j = 0; j < c; j++) y[i * c + j] = x[i * s + offset + j]!;
  },

  backward({ dy, dx }, { m, s, c, offset }) {
    // forward: y[i,j] = x[i, offset + j]  ⇒  dx[i, offset + j] = dy[i,j]
    for (let i = 0; i < m; i++) for (let j = 0; j < c; j++) dx[i * s + offset + j] = dy[i * c + j]!;
  },
};
