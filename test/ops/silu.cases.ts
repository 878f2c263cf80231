import { silu } from '../../src/ops/silu.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 20 }, (_, i) => ({
  m: 1 + (i % 8),
  n: [1, 2, 3, 4, 5, 7, 8, 15, 16, 33, 64, 255, 256, 257, 300][i % 15]!,
}));
// Beyond ±17 the sigmoid is 0 or 1 in float32.
const fill = { x: (random: () => number) => (random() - 0.5) * 40 };

export default [
  { entry: silu.forward, cases, fill },
  { entry: silu.backward, cases, fill },
] satisfies OpCases[];
