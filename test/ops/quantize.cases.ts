import { unitRow } from '../../src/ops/codebook_lookup.reference.js';
import { quantize } from '../../src/ops/quantize.js';
import type { Gradient } from './gradient.js';
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
    // In one dimension units are 1 or -1. With several rows not all distances are zero, to which no tolerance applies.
    cases: sizes.map(([r, d, v], i) => ({ r: d === 1 ? 6 : r, d, v, ...(i % 3 === 1 && { omit: ['distance'] }) })),
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

/** The gradient that the decoder gives for element i. */
const upstream = (i: number) => Math.sin(3 * i + 1);

export const gradients: Gradient[] = [
  {
    entry: quantize.forward,
    outputs: [],
    cases: [{ r: 6, d: 5, v: 4, codebook_weight: 1.5, commitment_weight: 0.25, omit: ['distance'] }],
    // y = z^ + sg(e^ - z^) and two losses; sg stops the gradient, so its argument keeps its first value.
    loss(now, start, { r, d, codebook_weight, commitment_weight }) {
      const codes = Array.from(start.codes!);
      const rows = (x: ArrayLike<number>) => codes.flatMap((_, i) => unitRow(x, i, d!));
      const looked = (x: ArrayLike<number>) => codes.flatMap((code) => unitRow(x, code, d!));
      const [z, e, stoppedZ, stoppedE] = [rows(now.z!), looked(now.codebook!), rows(start.z!), looked(start.codebook!)];
      const straight = z.reduce((sum, x, i) => sum + (x + stoppedE[i]! - stoppedZ[i]!) * upstream(i), 0);
      const squares = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0) / (r! * d!);
      return straight + codebook_weight! * squares(e, stoppedZ) + commitment_weight! * squares(z, stoppedE);
    },
    backward(be, { z, codebook, codes }, { codebook_weight, commitment_weight }, grad) {
      const dy = be.from(
        Float64Array.from({ length: z!.size }, (_, i) => upstream(i)),
        z!.shape,
      );
      const dz = grad('z', Number.NaN);
      const dcodebook = grad('codebook', 0.5);
      const attrs = { codebook_weight, commitment_weight };
      be.run(quantize.backward, { z: z!, codebook: codebook!, codes: codes!, dy, dz, dcodebook }, attrs);
    },
  },
];
