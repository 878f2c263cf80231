/** The float64 reference of ema.ts, which states the equations. */
import type { ema } from './ema.js';
import type { CaseSizes, References } from './spec.js';

export const references: References<typeof ema> = {
  forward({ ema, param }, { n, decay }) {
    for (let i = 0; i < n; i++) ema[i] = ema[i]! + (1 - decay) * (param[i]! - ema[i]!);
  },
};

export const sizes: CaseSizes = { n: [1, 2, 3, 4, 5, 8, 255, 256, 257, 1024, 2000], decay: [0.9999, 0.5, 0, 0.99] };
