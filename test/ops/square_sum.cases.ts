import { squareSum, squareSumSlots } from '../../src/ops/square_sum.js';
import type { Refusal } from './all_cases.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 22 }, (_, i) => {
  const n = [1, 3, 4, 15, 16, 17, 255, 257, 1000, 16383, 16384, 16385, 40000][i % 13]!;
  const slot = i % 4;
  return { n, slot, k: slot + squareSumSlots(n) + (i % 3) };
});

export default [{ entry: squareSum.forward, cases }] satisfies OpCases[];

export const refused: Refusal[] = [
  [squareSum.forward, { n: 20000, k: 2, slot: 1 }, /sums has 2 slots, but x takes 2 from slot 1 on; pass at least 3/],
];
