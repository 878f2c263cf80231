import { crossEntropy } from '../../src/ops/cross_entropy.js';
import type { Gradient } from './gradient.js';
import { normal, type OpCases } from './harness.js';

const cases = Array.from({ length: 26 }, (_, i) => ({
  r: [1, 2, 3, 5, 8, 33][i % 6]!,
  v: [2, 3, 4, 7, 8, 31, 64, 255, 256, 257, 1000, 1024][i % 12]!,
  scale: [1, 0.125, 1 / 96][i % 3]!,
}));

// Logits up to hundreds; some targets lie past the end.
const targets = (random: () => number, { v }: Record<string, number>) => Math.floor(random() * (v! + 1));
const logits = (random: () => number, { r }: Record<string, number>) => normal(random) * (r! % 2 ? 3 : 60);

export default [
  { entry: crossEntropy.forward, cases, fill: { logits, targets } },
  // lse is any number above the logits here.
  {
    entry: crossEntropy.backward,
    cases: [...cases.map((c) => ({ ...c, omit: ['loss_scale'] })), ...cases.slice(0, 12)],
    fill: { targets, logits: (random) => -5 * random(), lse: (random) => 2 * random(), loss_scale: () => 4096 },
  },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    // The same weight on every row's loss, as in a mean.
    entry: crossEntropy.forward,
    outputs: ['loss'],
    cases: [
      { r: 4, v: 5 },
      { r: 1, v: 2 },
    ],
    fill: { targets: (random, { v }) => Math.floor(random() * (v! + 1)) },
    cotangent: 0.25,
    backward: (be, { logits, targets, lse }, _c, grad) =>
      be.run(
        crossEntropy.backward,
        { logits: logits!, targets: targets!, lse: lse!, dlogits: grad('logits', Number.NaN) },
        { scale: 0.25 },
      ),
  },
];
