import { sum } from '../../src/ops/sum.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 22 }, (_, i) => {
  const n = [1, 2, 3, 4, 15, 16, 17, 63, 64, 255, 256, 257, 1000, 8192][i % 14]!;
  return { n, scale: i % 2 ? 1 / n : 3 };
});

export default [{ entry: sum.forward, cases, fill: { x: (random) => 5 * random() } }] satisfies OpCases[];
