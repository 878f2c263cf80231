import { rmsNormGated } from '../../src/ops/rms_norm_gated.js';
import { sumRows } from '../../src/ops/sum_rows.js';
import type { Refusal } from './all_cases.js';
import type { Gradient } from './gradient.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 24 }, (_, i) => {
  const groups = [1, 2, 1, 4, 3][i % 5]!;
  const e = groups * [1, 4, 3, 16, 64, 7, 257, 130][i % 8]!;
  const z_offset = i % 3 ? 0 : 1 + (i % 5);
  return { m: 1 + (i % 8), l: [1, 2, 5][i % 3]!, e, s: z_offset + e + (i % 4), groups, z_offset, eps: i % 2 ? 1e-5 : 0.1 };
});

const backward = cases.map((c, i) => ({ ...c, w: Math.min(c.m * c.l, [1, 3, 4, 40][i % 4]!) }));

export default [
  { entry: rmsNormGated.forward, cases },
  { entry: rmsNormGated.backward, cases: backward },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: rmsNormGated.forward,
    outputs: ['y'],
    cases: [
      { m: 2, l: 3, e: 6, s: 9, w: 4, groups: 2, z_offset: 1, eps: 1e-5 },
      { m: 1, l: 2, e: 5, s: 5, w: 1, groups: 1, z_offset: 0, eps: 0.1 },
    ],
    backward(be, { x, z, weight, dy }, { w, e, groups, z_offset, eps }, grad, work) {
      const dweight_rows = work(w!, e!);
      be.run(
        rmsNormGated.backward,
        { x: x!, z: z!, weight: weight!, dy: dy!, dx: grad('x', Number.NaN), dz: grad('z', 0), dweight_rows },
        { groups, z_offset, eps },
      );
      be.run(sumRows.forward, { x: dweight_rows, y: grad('weight', 0.5) });
    },
  },
];

export const refused: Refusal[] = [
  [rmsNormGated.backward, { m: 1, l: 2, e: 4, s: 4, w: 3, groups: 1 }, /dweight_rows has 3 parts for 2 rows; pass at most/],
  [rmsNormGated.backward, { m: 1, l: 2, e: 4, s: 4, w: 1, groups: 3 }, /4 channels do not split into 3 groups; choose/],
];
