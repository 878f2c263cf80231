import { ema } from '../../src/ops/ema.js';
import type { Refusal } from './all_cases.js';

// The cases themselves come from `sizes` in src/ops/ema.reference.ts.
export const refused: Refusal[] = [[ema.forward, { n: 1, decay: 1 }, /decay is 1; pass a number from 0 to below 1/]];
