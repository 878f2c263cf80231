/** The float64 reference of guide_by_position.ts, which states the equations. */
import { type guideByPosition, NONE } from './guide_by_position.js';
import type { References } from './spec.js';

export const references: References<typeof guideByPosition> = {
  forward({ logits, scales, step, y }, { v, b, t, probabilities }) {
    const row = (i: number) => {
      const x = Array.from(logits.subarray(i * v, (i + 1) * v));
      if (!probabilities) return x;
      const most = Math.max(...x);
      const e = x.map((l) => Math.exp(l - most));
      const sum = e.reduce((a, l) => a + l, 0);
      return e.map((l) => l / sum);
    };
    for (let i = 0; i < b; i++) {
      const [c, u] = [row(i), row(b + i)];
      const w = scales[Math.min(step[i]!, t - 1)]!;
      for (let j = 0; j < v; j++) {
        const p = u[j]! + (c[j]! - u[j]!) * w;
        y[i * v + j] = !probabilities ? p : p < 2 ** -126 ? NONE : Math.log(p);
      }
    }
  },
};
