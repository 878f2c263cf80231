import { sumRows } from '../../src/ops/sum_rows.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 24 }, (_, i) => ({
  r: [1, 2, 7, 8, 9, 33, 300][i % 7]!,
  n: [1, 4, 3, 31, 32, 33, 64, 257, 5, 100][i % 10]!,
}));

export default [{ entry: sumRows.forward, cases }] satisfies OpCases[];
