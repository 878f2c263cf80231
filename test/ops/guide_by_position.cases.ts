import { guideByPosition } from '../../src/ops/guide_by_position.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 24 }, (_, i) => {
  const b = 1 + (i % 8);
  return { m: 2 * b, v: [1, 4, 3, 64, 7, 255, 256, 1030][(i * 5) % 8]!, t: 1 + (i % 5), b, probabilities: Number(i % 3 > 0) };
});

export default [
  {
    entry: guideByPosition.forward,
    cases,
    fill: {
      // Some images are complete: step = t.
      step: (random, { t }) => Math.floor(random() * (t! + 1)),
      // Up to a scale of 1 no probability is cut to none, and the tolerance is one of logarithms.
      scales: (random, { b }) => (b! % 2 ? random() : 5 * random()),
    },
  },
] satisfies OpCases[];
