/** The float64 reference of guide.ts, which states the equations. */
import type { guide } from './guide.js';
import type { RefArray, References } from './spec.js';

/** The guidance of image i. */
export const scaleAt = (
  i: number,
  { scales, step }: { scales: RefArray | undefined; step: RefArray | undefined },
  { t, scale }: { t: number; scale: number },
) => (scales ? scales[Math.min(step?.[i] ?? 0, t - 1)]! : scale);

export const references: References<typeof guide> = {
  forward({ logits, scales, step, y }, { v, b, t, scale }) {
    for (let i = 0; i < b * v; i++) {
      const c = logits[i]!;
      const u = logits[b * v + i]!;
      y[i] = u + (c - u) * scaleAt(Math.floor(i / v), { scales, step }, { t, scale });
    }
  },
};
