/** The float64 reference of group_modulation.ts, which states the equations. */
import type { groupModulation } from './group_modulation.js';
import type { References } from './spec.js';

export const references: References<typeof groupModulation> = {
  forward({ groups, table, y }, { m, g, d, group }) {
    for (let i = 0; i < m; i++)
      for (let q = 0; q < 3 * d; q++) y[i * 3 * d + q] = groups[(i * g + group) * 3 * d + q]! + table[q]!;
  },

  backward({ dy, dgroups, dtable }, { m, d, g, group }) {
    for (let i = 0; i < m; i++) {
      for (let q = 0; q < 3 * d; q++) {
        const at = (i * g + group) * 3 * d + q;
        // forward: y[m] = groups[m,group] + table  ⇒  dgroups[m,group] += dy[m], dtable += Σ dy
        dgroups[at] = dgroups[at]! + dy[i * 3 * d + q]!;
        dtable[q] = dtable[q]! + dy[i * 3 * d + q]!;
      }
    }
  },
};
