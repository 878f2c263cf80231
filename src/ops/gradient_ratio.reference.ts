/** The float64 reference of gradient_ratio.ts, which states the equation. */
import type { gradientRatio } from './gradient_ratio.js';
import type { References } from './spec.js';

export const references: References<typeof gradientRatio> = {
  forward({ a, b, loss_scale, y }, { p, q, scale, eps, most }) {
    const norm = (sums: typeof a, n: number) => {
      let all = 0;
      for (let i = 0; i < n; i++) all += sums[i]!;
      return Math.sqrt(all) / (loss_scale?.[0] ?? 1);
    };
    const [first, second] = [norm(a, p), norm(b, q)];
    y[0] = scale * (Number.isFinite(first + second) ? Math.min(most, first / (second + eps)) : 1);
  },
};
