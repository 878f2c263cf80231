import { ema } from '../../src/ops/ema.js';
import type { Refusal } from './all_cases.js';
import type { OpCases } from './harness.js';

const sizes = [1, 2, 3, 4, 5, 8, 255, 256, 257, 1024, 2000];
const cases = Array.from({ length: 24 }, (_, i) => ({ n: sizes[i % 11]!, decay: [0.9999, 0.5, 0, 0.99, 0.8][i % 5]! }));

export default [
  { entry: ema.forward, cases: cases.map((c) => ({ ...c, omit: ['most'] })) },
  // Below the decay and above it.
  { entry: ema.forward, cases, fill: { most: (random) => random() } },
] satisfies OpCases[];

export const refused: Refusal[] = [[ema.forward, { n: 1, decay: 1 }, /decay is 1; pass a number from 0 to below 1/]];
