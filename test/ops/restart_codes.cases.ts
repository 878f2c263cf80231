import { restartCodes } from '../../src/ops/restart_codes.js';
import type { Refusal } from './all_cases.js';
import type { OpCases } from './harness.js';

const cases = [
  { r: 1, d: 1, v: 1, patience: 1 },
  { r: 5, d: 3, v: 7, patience: 2 },
  { r: 40, d: 8, v: 65, patience: 3 },
  { r: 3, d: 4, v: 130, patience: 4 },
  ...Array.from({ length: 6 }, (_, i) => ({ r: 2 + 9 * i, d: 1 + i, v: 3 + 11 * i, patience: 1 + (i % 3) })),
].flatMap((c) => [c, { ...c, omit: ['ema'] }]);

export default [
  {
    entry: restartCodes.forward,
    cases,
    fill: { draw: (random) => Math.floor(2 ** 32 * random()), age: (random) => Math.floor(5 * random()) - 1 },
  },
] satisfies OpCases[];

export const refused: Refusal[] = [[restartCodes.forward, { r: 1, d: 1, v: 1, patience: 0 }, /patience is 0/]];
