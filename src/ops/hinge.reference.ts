/** The float64 reference of hinge.ts, which states the equations. */
import type { hinge } from './hinge.js';
import type { References } from './spec.js';

export const references: References<typeof hinge> = {
  forward({ x, y }, { n, sign, scale, linear }) {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += linear ? -sign * x[i]! : Math.max(0, 1 - sign * x[i]!);
    y[0] = scale * sum;
  },

  backward({ x, loss_scale, dx }, { n, sign, scale, linear }) {
    const slope = -sign * scale * (loss_scale?.[0] ?? 1);
    for (let i = 0; i < n; i++) dx[i] = linear || 1 - sign * x[i]! > 0 ? slope : 0;
  },
};
