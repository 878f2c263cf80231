/** Float64 reference of ema.ts, where the equations are. */
import type { ema } from './ema.js';
import type { References } from './spec.js';

export const references: References<typeof ema> = {
  forward({ ema, param }, { n, decay }) {
    for (let i = 0; i < n; i++) ema[i] = ema[i]! + (1 - decay) * (param[i]! - ema[i]!);
  },
};
