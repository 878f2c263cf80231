import { groupModulation } from '../../src/ops/group_modulation.js';
import type { Gradient } from './gradient.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 24 }, (_, i) => {
  const g = 1 + (i % 5);
  return { m: 1 + (i % 8), g, r: i % 2 ? 3 : 6, d: [1, 4, 3, 8, 64, 7, 12, 129, 2][i % 9]!, group: (i * 7) % g };
});

export default [
  { entry: groupModulation.forward, cases },
  { entry: groupModulation.backward, cases },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: groupModulation.forward,
    outputs: ['y'],
    cases: [
      { m: 3, g: 2, r: 3, d: 2, group: 1 },
      { m: 1, g: 1, r: 6, d: 1, group: 0 },
    ],
    backward: (be, { dy }, { group }, grad) =>
      be.run(groupModulation.backward, { dy: dy!, dgroups: grad('groups', 0.5), dtable: grad('table', 0.5) }, { group }),
  },
];
