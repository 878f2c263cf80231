/** The float64 reference of ema.ts, which states the equations. */
import type { ema } from './ema.js';
import type { References } from './spec.js';

export const references: References<typeof ema> = {
  forward({ ema, param, most }, { n, decay }) {
    const rate = 1 - Math.min(decay, most?.[0] ?? 1);
    for (let i = 0; i < n; i++) ema[i] = ema[i]! + rate * (param[i]! - ema[i]!);
  },
};
