import { mae, maeParts } from '../../src/ops/mae.js';
import type { Gradient } from './gradient.js';
import type { OpCases } from './harness.js';

const cases = [1, 2, 3, 4, 5, 8, 9, 15, 31, 64, 100, 129, 255, 257, 300, 511, 1000, 16384, 16385, 40000].map((n, i) => ({
  n,
  p: maeParts(n),
  scale: i % 2 ? 1 / n : 3,
}));

export default [
  { entry: mae.forward, cases: cases.map(({ n, p }) => ({ n, p })) },
  {
    entry: mae.backward,
    cases: [...cases.map((c) => ({ ...c, omit: ['loss_scale'] })), ...cases],
    // Whole numbers, so that some are equal.
    fill: { loss_scale: () => 4096, x: (random) => Math.floor(3 * random()), truth: (random) => Math.floor(3 * random()) },
  },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: mae.forward,
    outputs: ['parts'],
    cases: [{ n: 9, p: 1, scale: 0.3 }],
    cotangent: 0.3,
    backward: (be, { x, truth }, { scale }, grad) =>
      be.run(mae.backward, { x: x!, truth: truth!, dx: grad('x', Number.NaN) }, { scale }),
  },
];
