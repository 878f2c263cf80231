/** The float64 reference of embedding.ts, which states the equations. */
import type { embedding } from './embedding.js';
import type { References } from './spec.js';

export const references: References<typeof embedding> = {
  forward({ table, ids, y }, { v, d, m }) {
    for (let i = 0; i < m; i++) {
      const row = Math.min(ids[i]!, v - 1);
      for (let j = 0; j < d; j++) y[i * d + j] = table[row * d + j]!;
    }
  },

  backward({ ids, dy, dtable }, { m, d, v }) {
    for (let i = 0; i < m; i++) {
      const row = Math.min(ids[i]!, v - 1);
      // forward: y[m] = table[ids[m]]  ⇒  dtable[ids[m]] += dy[m]
      for (let j = 0; j < d; j++) dtable[row * d + j] = dtable[row * d + j]! + dy[i * d + j]!;
    }
  },
};
