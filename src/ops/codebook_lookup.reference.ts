/** The float64 reference of codebook_lookup.ts, which states the equations. */
import type { codebookLookup } from './codebook_lookup.js';
import type { References } from './spec.js';

/** Returns row `i` of x [·, d], divided by its length (at least 1e-12). */
export function unitRow(x: ArrayLike<number>, i: number, d: number): number[] {
  const row = Array.from({ length: d }, (_, j) => x[i * d + j]!);
  const length = Math.max(Math.sqrt(row.reduce((sum, v) => sum + v * v, 0)), 1e-12);
  return row.map((v) => v / length);
}

export const references: References<typeof codebookLookup> = {
  forward({ codebook, codes, y }, { r, v, d }) {
    for (let i = 0; i < r; i++) y.set(unitRow(codebook, Math.min(codes[i]!, v - 1), d), i * d);
  },
};
