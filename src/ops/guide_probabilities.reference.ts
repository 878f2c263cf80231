/** The float64 reference of guide_probabilities.ts, which states the equations. */
import { scaleAt } from './guide.reference.js';
import { type guideProbabilities, NONE } from './guide_probabilities.js';
import type { References } from './spec.js';

export const references: References<typeof guideProbabilities> = {
  forward({ logits, scales, step, y }, { v, b, t, scale }) {
    const softmax = (row: number) => {
      const x = Array.from(logits.subarray(row * v, (row + 1) * v));
      const most = Math.max(...x);
      const e = x.map((l) => Math.exp(l - most));
      const sum = e.reduce((a, l) => a + l, 0);
      return e.map((l) => l / sum);
    };
    for (let i = 0; i < b; i++) {
      const [c, u] = [softmax(i), softmax(b + i)];
      const w = scaleAt(i, { scales, step }, { t, scale });
      for (let j = 0; j < v; j++) {
        const p = u[j]! + (c[j]! - u[j]!) * w;
        y[i * v + j] = p < 2 ** -126 ? NONE : Math.log(p);
      }
    }
  },
};
