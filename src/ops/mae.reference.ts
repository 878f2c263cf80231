/** The float64 reference of mae.ts, which states the equations. */
import type { mae } from './mae.js';
import { MSE_CHUNK as CHUNK } from './shared.js';
import type { References } from './spec.js';

export const references: References<typeof mae> = {
  forward({ x, truth, parts }, { n, p }) {
    parts.fill(0, 0, p);
    for (let i = 0; i < n; i++) parts[Math.floor(i / CHUNK)]! += Math.abs(x[i]! - truth[i]!);
  },

  backward({ x, truth, loss_scale, dx }, { n, scale }) {
    const factor = scale * (loss_scale?.[0] ?? 1);
    // forward: loss = scale·Σ |x - truth|  ⇒  dx = scale·sign(x - truth)
    for (let i = 0; i < n; i++) dx[i] = factor * Math.sign(x[i]! - truth[i]!);
  },
};
