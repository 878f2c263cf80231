import { guide } from '../../src/ops/guide.js';
import { guideProbabilities } from '../../src/ops/guide_probabilities.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 24 }, (_, i) => {
  const [b, t] = [1 + (i % 8), 1 + (i % 5)];
  const omit = [[], ['scales', 'step'], ['step']][i % 3]!;
  return { m: 2 * b, v: [1, 4, 3, 64, 7, 255, 256, 1030][(i * 5) % 8]!, t, b, scale: [1.5, 0, 1, 5, 2][i % 5]!, omit };
});

/** Some images are complete: step = t. */
const step = (random: () => number, { t }: Record<string, number>) => Math.floor(random() * (t! + 1));

export default [
  { entry: guide.forward, cases, fill: { step, scales: (random) => 6 * random() } },
  // Up to a scale of 1 no probability is cut to none, and the tolerance is of the logarithms.
  {
    entry: guideProbabilities.forward,
    cases: cases.map((c) => ({ ...c, scale: [0.5, 0, 1, 0.8, 3][c.v % 5]! })),
    fill: { step, scales: (random, { v }) => (v! % 3 ? random() : 4 * random()) },
  },
] satisfies OpCases[];
