import { hinge } from '../../src/ops/hinge.js';
import type { Refusal } from './all_cases.js';
import type { Gradient } from './gradient.js';
import type { OpCases } from './harness.js';

const cases = [1, 4, 36, 257, 1000].flatMap((n) => [
  { n, sign: 1, scale: 1 / n, linear: 0 },
  { n, sign: -1, scale: 0.5 / n, linear: 0 },
]);
const linear = cases.map((c) => ({ ...c, linear: 1 }));

export default [
  { entry: hinge.forward, cases },
  // Of one sign, so that the sum is not far smaller than its terms.
  { entry: hinge.forward, cases: linear, fill: { x: (random) => random() } },
  {
    entry: hinge.backward,
    cases: [...cases, ...linear.map((c) => ({ ...c, omit: ['loss_scale'] }))],
    fill: { loss_scale: () => 64 },
  },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: hinge.forward,
    outputs: ['y'],
    cases: [1, -1].flatMap((sign) => [0, 1].map((linear) => ({ n: 9, sign, scale: 0.3, linear }))),
    cotangent: 1,
    backward: (be, { x }, { sign, scale, linear }, grad) =>
      be.run(hinge.backward, { x: x!, dx: grad('x', Number.NaN) }, { sign, scale, linear }),
  },
];

export const refused: Refusal[] = [[hinge.forward, { n: 1, sign: 0 }, /sign is 0/]];
