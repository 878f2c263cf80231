import { mse, mseParts } from '../../src/ops/mse.js';
import type { Gradient } from './gradient.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 24 }, (_, i) => {
  const n = [1, 2, 3, 4, 7, 8, 9, 255, 256, 257, 1000, 16383, 16384, 16385, 40000][i % 15]!;
  return { n, p: mseParts(n), scale: i % 2 ? 1 / n : 3 };
});

export default [
  { entry: mse.forward, cases: cases.map(({ n, p }) => ({ n, p })) },
  {
    entry: mse.backward,
    cases: [...cases.map((c) => ({ ...c, omit: ['loss_scale'] })), ...cases.slice(0, 8)],
    fill: { loss_scale: () => 4096 },
  },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: mse.forward,
    outputs: ['parts'],
    cases: [{ n: 9, p: 1, scale: 0.3 }],
    cotangent: 0.3,
    backward: (be, { x, truth }, { scale }, grad) =>
      be.run(mse.backward, { x: x!, truth: truth!, dx: grad('x', Number.NaN) }, { scale }),
  },
];
