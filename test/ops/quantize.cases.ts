import { quantize } from '../../src/ops/quantize.js';
import type { OpCases } from './harness.js';

const sizes: [r: number, d: number, v: number][] = [
  [1, 4, 1],
  [1, 4, 2],
  [2, 8, 3],
  [3, 8, 4],
  [7, 5, 5],
  [8, 8, 16],
  [9, 8, 17],
  [64, 4, 30],
  [16, 32, 64],
  [5, 16, 255],
  [6, 8, 256],
  [12, 8, 257],
  [33, 8, 512],
  [4, 8, 1030],
  [2, 3, 40],
  [20, 12, 100],
  [100, 8, 60],
  [1, 1, 1],
  [8, 31, 9],
  [17, 6, 300],
  [3, 8, 4096],
  [40, 20, 50],
];

export default [
  {
    entry: quantize.forward,
    cases: sizes.map(([r, d, v], i) => ({ r, d, v, ...(i % 3 === 1 && { omit: ['distance'] }) })),
  },
  {
    // Rows three apart are equal: the lowest of them must win.
    entry: quantize.forward,
    cases: [
      { r: 9, d: 8, v: 700 },
      { r: 3, d: 4, v: 6 },
    ],
    fill: { codebook: (_, { d }, i) => Math.sin(1 + (Math.floor(i / d!) % 3) * 40 + (i % d!)) },
  },
  {
    entry: quantize.backward,
    cases: sizes.map(([r, d, v], i) => ({
      r,
      d,
      v,
      codebook_weight: r * d,
      commitment_weight: 0.25 * r * d,
      ...(i % 3 && { omit: ['loss_scale'] }),
    })),
    fill: { codes: (random, { v }) => Math.floor(random() * v!), loss_scale: () => 16 },
  },
] satisfies OpCases[];
