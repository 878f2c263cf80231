import { featureDistance } from '../../src/ops/feature_distance.js';
import type { Gradient } from './gradient.js';
import type { OpCases } from './harness.js';

const cases = [
  [1, 2],
  [3, 4],
  [17, 15],
  [40, 16],
  [5, 513],
  ...Array.from({ length: 5 }, (_, i) => [2 + 7 * i, 3 + 4 * i]),
].flatMap(([m, c], i) => [
  { m: m!, c: c!, scale: 1 / m!, omit: ['loss_scale'] },
  { m: m!, c: c!, scale: 2, omit: i % 2 ? ['weight'] : ['weight', 'loss_scale'] },
]);
const fill: OpCases['fill'] = {
  loss_scale: () => 512,
  weight: (random) => random(),
  // After ReLU; some rows are zero.
  x: (random, { c }, i) => (Math.floor(i / c!) % 3 === 2 ? 0 : Math.max(0, random() - 0.3)),
};

export default [
  { entry: featureDistance.forward, cases: cases.map(({ scale: _, ...c }) => c), fill },
  // Where x is zero, the gradient is that of the tiny ε, which would hide all others.
  { entry: featureDistance.backward, cases, fill: { ...fill, x: (random) => random() + 0.01 } },
  { entry: featureDistance.backward, cases: [{ m: 3, c: 4, scale: 1 }], fill: { ...fill, x: () => 0 } },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: featureDistance.forward,
    outputs: ['y'],
    cases: [
      { m: 3, c: 5, scale: 0.3 },
      { m: 2, c: 3, scale: 0.3, omit: ['weight'] },
    ],
    cotangent: 0.3,
    backward: (be, { x, truth, weight }, { scale }, grad) =>
      be.run(featureDistance.backward, { x: x!, truth: truth!, weight, dx: grad('x', Number.NaN) }, { scale }),
  },
];
