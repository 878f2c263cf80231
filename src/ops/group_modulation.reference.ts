/** The float64 reference of group_modulation.ts, which states the equations. */
import type { groupModulation } from './group_modulation.js';
import type { References } from './spec.js';

export const references: References<typeof groupModulation> = {
  forward({ groups, table, y }, { m, g, r, d, group }) {
    for (let i = 0; i < m; i++)
      for (let q = 0; q < r * d; q++) y[i * r * d + q] = groups[(i * g + group) * r * d + q]! + table[q]!;
  },

  backward({ dy, dgroups, dtable }, { m, r, d, g, group }) {
    for (let i = 0; i < m; i++) {
      for (let q = 0; q < r * d; q++) {
        const at = (i * g + group) * r * d + q;
        // forward: y[m] = groups[m,group] + table  ⇒  dgroups[m,group] += dy[m], dtable += Σ dy
        dgroups[at] = dgroups[at]! + dy[i * r * d + q]!;
        dtable[q] = dtable[q]! + dy[i * r * d + q]!;
      }
    }
  },
};
