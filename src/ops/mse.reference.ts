/** The float64 reference of mse.ts, which states the equations. */
import type { mse } from './mse.js';
import { MSE_CHUNK as CHUNK } from './shared.js';
import type { References } from './spec.js';

export const references: References<typeof mse> = {
  forward({ x, truth, parts }, { n, p }) {
    parts.fill(0, 0, p);
    for (let i = 0; i < n; i++) {
      const q = Math.floor(i / CHUNK);
      parts[q] = parts[q]! + (x[i]! - truth[i]!) ** 2;
    }
  },

  backward({ x, truth, loss_scale, dx }, { n, scale }) {
    const factor = scale * (loss_scale?.[0] ?? 1);
    // forward: loss = scale·Σ (x - truth)²  ⇒  dx = 2·scale·(x - truth)
    for (let i = 0; i < n; i++) dx[i] = 2 * factor * (x[i]! - truth[i]!);
  },
};
