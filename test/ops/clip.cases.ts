import { clip } from '../../src/ops/clip.js';
import type { Refusal } from './all_cases.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 24 }, (_, i) => ({
  k: [1, 2, 3, 4, 5, 16, 255, 256, 257, 1000, 3000][i % 11]!,
  max_norm: [1, 100, 1e30, 0.5][i % 4]!,
  scale: i % 3 ? 1 : 0.25,
  growth: 3,
}));
const sums = (random: () => number) => random() ** 8;

export default [
  { entry: clip.forward, cases: cases.map((c) => ({ ...c, omit: ['loss_scale'] })), fill: { sums } },
  // Loss scale: growing, about to grow, nearly exhausted; a hyper whose skip is set from the previous step.
  ...[
    [1024, 0],
    [1024, 2],
    [0.5, 0],
  ].map(([scale, good]) => ({
    entry: clip.forward,
    cases: cases.slice(0, 8),
    fill: {
      sums,
      hyper: (_r: () => number, _d: Record<string, number>, i: number) => (i === 7 ? 1 : 0.5),
      loss_scale: (_r: () => number, _d: Record<string, number>, i: number) => [scale!, good!][i]!,
    },
  })),
] satisfies OpCases[];

export const refused: Refusal[] = [
  [clip.forward, { k: 1, max_norm: 0, scale: 1 }, /max_norm is 0; pass a positive number/],
  [clip.forward, { k: 1, max_norm: 1, scale: 0 }, /scale is 0; pass a positive number/],
];
