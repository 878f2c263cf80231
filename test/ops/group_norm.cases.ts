import { groupNorm } from '../../src/ops/group_norm.js';
import type { OpCases } from './harness.js';

const sizes: [b: number, s: number, c: number, groups: number][] = [
  [1, 1, 4, 1],
  [1, 2, 1, 1],
  [2, 5, 3, 1],
  [3, 7, 6, 2],
  [1, 64, 32, 32],
  [2, 64, 64, 32],
  [1, 256, 128, 32],
  [8, 4, 16, 4],
  [1, 300, 8, 1],
  [4, 33, 20, 5],
  [1, 1000, 4, 2],
  [2, 9, 15, 5],
  [1, 16, 256, 32],
];

export const normCases = [0, 1].flatMap((swish) => sizes.map(([b, s, c, groups]) => ({ b, s, c, groups, eps: 1e-6, swish })));

export default [
  {
    entry: groupNorm.forward,
    cases: normCases,
    // An offset as large as a few deviations, as activations have.
    fill: { x: (random) => 3 + 4 * (random() - 0.5) },
  },
] satisfies OpCases[];
