/** The float64 reference of square_sum.ts, which states the equations. */
import { SQUARE_SUM_CHUNK as CHUNK } from './shared.js';
import type { References } from './spec.js';
import { type squareSum, squareSumSlots } from './square_sum.js';

export const references: References<typeof squareSum> = {
  forward({ x, sums }, { n, slot }) {
    sums.fill(0, slot, slot + squareSumSlots(n));
    for (let i = 0; i < n; i++) {
      const to = slot + Math.floor(i / CHUNK);
      sums[to] = sums[to]! + x[i]! ** 2;
    }
  },
};
