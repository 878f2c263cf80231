import { silu } from '../../src/ops/silu.js';
import type { Gradient } from './gradient.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 20 }, (_, i) => ({
  m: 1 + (i % 8),
  n: [1, 2, 3, 4, 5, 7, 8, 15, 16, 33, 64, 255, 256, 257, 300][i % 15]!,
}));
const fill = { x: (random: () => number) => (random() - 0.5) * 40 };

export default [
  { entry: silu.forward, cases, fill },
  { entry: silu.backward, cases, fill },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: silu.forward,
    outputs: ['y'],
    cases: [
      { m: 1, n: 1 },
      { m: 3, n: 7 },
    ],
    fill: { x: (random) => (random() - 0.5) * 12 },
    backward: (be, { x, dy }, _c, grad) => be.run(silu.backward, { x: x!, dy: dy!, dx: grad('x', Number.NaN) }),
  },
];
