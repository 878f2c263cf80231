import { batchNorm } from '../../src/ops/batch_norm.js';
import type { Refusal } from './all_cases.js';
import { defaultGradient, type Gradient } from './gradient.js';
import type { OpCases } from './harness.js';

const cases = [
  [2, 1],
  [3, 4],
  [7, 33],
  [65, 5],
  [300, 64],
  [4100, 3],
].map(([m, c]) => ({ m: m!, c: c!, eps: 1e-5 }));

const variance = (random: () => number) => 0.1 + random();

export default [
  // A mean far from zero.
  { entry: batchNorm.forward, cases },
  { entry: batchNorm.forward, cases: [{ m: 130, c: 6, eps: 1e-5 }], fill: { x: (random) => 30 + random() } },
  {
    entry: batchNorm.forward,
    cases: Array.from({ length: 14 }, (_, i) => ({ m: 2 + 9 * i, c: 1 + ((5 * i) % 11), eps: i % 2 ? 1e-5 : 1e-2 })),
  },
  {
    entry: batchNorm.backward,
    cases: cases.flatMap((c, i) => [c, { ...c, omit: [['dweight'], ['dbias'], ['dweight', 'dbias']][i % 3]! }]),
    fill: { variance },
  },
  {
    entry: batchNorm.backward,
    cases: Array.from({ length: 8 }, (_, i) => ({ m: 3 + 11 * i, c: 1 + ((7 * i) % 13), eps: i % 2 ? 1e-5 : 1e-2 })),
    fill: { variance },
  },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  defaultGradient(batchNorm.forward, batchNorm.backward, [
    { m: 2, c: 2, eps: 1e-2 },
    { m: 7, c: 3, eps: 1e-5 },
  ]),
];

export const refused: Refusal[] = [[batchNorm.forward, { m: 1, c: 3 }, /has no variance/]];
