import { embedding } from '../../src/ops/embedding.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 24 }, (_, i) => ({
  v: [1, 2, 5, 17, 64, 300][i % 6]!,
  d: [1, 4, 3, 8, 64, 7, 12, 257][i % 8]!,
  m: [1, 2, 3, 4, 5, 6, 7, 8, 40][i % 9]!,
}));

// Now and then an id lies past the table.
export default [
  { entry: embedding.forward, cases, fill: { ids: (random, { v }) => Math.floor(random() * (v! + 1)) } },
] satisfies OpCases[];
