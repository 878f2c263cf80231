import { clip } from '../../src/ops/clip.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 24 }, (_, i) => ({
  k: [1, 2, 3, 4, 5, 16, 255, 256, 257, 1000, 3000][i % 11]!,
  max_norm: [1, 100, 1e30, 0.5][i % 4]!,
  scale: i % 3 ? 1 : 0.25,
}));

export default [{ entry: clip.forward, cases, fill: { sums: (random) => random() ** 8 } }] satisfies OpCases[];
