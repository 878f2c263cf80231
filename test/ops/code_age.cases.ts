import { codeAge } from '../../src/ops/code_age.js';
import type { OpCases } from './harness.js';

const sizes = [
  [1, 1],
  [5, 3],
  [64, 257],
  [300, 256],
  [2, 600],
  ...Array.from({ length: 15 }, (_, i) => [1 + 13 * i, 2 + ((37 * i) % 90)]),
];

export default [
  {
    entry: codeAge.forward,
    cases: sizes.map(([r, v]) => ({ r: r!, v: v! })),
    // Some codes do not exist.
    fill: { codes: (random, d) => Math.floor(1.2 * d.v! * random()), age: (random) => Math.floor(9 * random()) },
  },
] satisfies OpCases[];
