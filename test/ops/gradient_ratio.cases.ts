import { gradientRatio } from '../../src/ops/gradient_ratio.js';
import type { Refusal } from './all_cases.js';
import type { OpCases } from './harness.js';

const cases = [
  { p: 1, q: 1, scale: 1, eps: 1e-4, most: 1e4 },
  { p: 3, q: 300, scale: 0.5, eps: 1e-4, most: 1e4 },
  { p: 300, q: 1, scale: 0.5, eps: 1e-4, most: 2 },
  ...Array.from({ length: 4 }, (_, i) => ({ p: 2 + 40 * i, q: 65 - 16 * i, scale: 2, eps: 1e-3, most: 1e4 })),
].flatMap((c) => [c, { ...c, omit: ['loss_scale'] }]);
const sums = (random: () => number) => random();

const loss_scale = () => 8;

export default [
  { entry: gradientRatio.forward, cases, fill: { a: sums, b: sums, loss_scale } },
  // Norms that are not finite.
  { entry: gradientRatio.forward, cases: cases.slice(0, 3), fill: { a: sums, b: () => Number.POSITIVE_INFINITY, loss_scale } },
  { entry: gradientRatio.forward, cases: cases.slice(0, 3), fill: { a: () => Number.NaN, b: sums, loss_scale } },
] satisfies OpCases[];

export const refused: Refusal[] = [[gradientRatio.forward, { p: 1, q: 1, eps: 0 }, /eps is 0/]];
