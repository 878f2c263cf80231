import { groupNorm } from '../../src/ops/group_norm.js';
import type { Gradient } from './gradient.js';
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
  // Several stretches of pixels, the last one short or empty; groups of several workgroups, or wider than one.
  [2, 1030, 32, 8],
  [1, 2053, 9, 3],
  [1, 20, 1040, 4],
  [1, 9, 2052, 1],
  [2, 70, 516, 129],
  [1, 40, 515, 5],
];

const normCases = [0, 1].flatMap((swish) => sizes.map(([b, s, c, groups]) => ({ b, s, c, groups, eps: 1e-6, swish })));

// A mean of a few standard deviations, as activations have.
const fill: OpCases['fill'] = { x: (random) => 3 + 4 * (random() - 0.5) };

export default [
  { entry: groupNorm.forward, cases: normCases, fill },
  {
    entry: groupNorm.backward,
    // Two values always normalise to ±1, so that their gradient is rounding error only.
    cases: [
      ...normCases.filter(({ s, c, groups }) => (s * c) / groups > 2),
      { b: 1, s: 5, c: 600, groups: 2, eps: 1e-6, swish: 1 },
    ],
    fill,
  },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: groupNorm.forward,
    outputs: ['y'],
    cases: [
      { b: 2, s: 5, c: 6, groups: 2, eps: 1e-6, swish: 1 },
      { b: 1, s: 3, c: 4, groups: 4, eps: 1e-2, swish: 0 },
      { b: 3, s: 4, c: 3, groups: 1, eps: 1e-6, swish: 1 },
    ],
    backward(be, { x, weight, bias, dy }, { b, groups, eps, swish }, grad) {
      const [dweight, dbias] = [grad('weight', 0.5, b), grad('bias', 0.5, b)];
      const tensors = { x: x!, weight: weight!, bias: bias!, dy: dy!, dx: grad('x', Number.NaN), dweight, dbias };
      be.run(groupNorm.backward, tensors, { groups, eps, swish });
    },
  },
];
