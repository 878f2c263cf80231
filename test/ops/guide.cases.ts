import { guide } from '../../src/ops/guide.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 24 }, (_, i) => {
  const b = 1 + (i % 8);
  return { m: 2 * b, v: [1, 4, 3, 64, 7, 255, 256, 1030][(i * 5) % 8]!, b, scale: [1.5, 0, 1, 5, 2][i % 5]! };
});

export default [{ entry: guide.forward, cases }] satisfies OpCases[];
