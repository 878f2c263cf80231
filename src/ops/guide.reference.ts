/** The float64 reference of guide.ts, which states the equations. */
import type { guide } from './guide.js';
import type { References } from './spec.js';

export const references: References<typeof guide> = {
  forward({ logits, y }, { v, b, scale }) {
    for (let i = 0; i < b * v; i++) {
      const c = logits[i]!;
      const u = logits[b * v + i]!;
      y[i] = u + (c - u) * scale;
    }
  },
};
