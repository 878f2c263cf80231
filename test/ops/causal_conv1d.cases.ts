import type { Tensor } from '../../src/core/tensor.js';
import { causalConv1d } from '../../src/ops/causal_conv1d.js';
import { sumRows } from '../../src/ops/sum_rows.js';
import type { Refusal } from './all_cases.js';
import type { Gradient } from './gradient.js';
import type { Case, OpCases } from './harness.js';

// 1 to 8 taps, mostly 4 as in the models; lengths below, at and above the taps, and above a span of the WASM kernel.
const cases: Case[] = Array.from({ length: 36 }, (_, i) => {
  const k = i % 3 ? 4 : [1, 2, 3, 5, 6, 7, 8][((i / 3) % 7) | 0]!;
  const c = [1, 4, 3, 8, 5, 70, 64, 129][i % 8]!;
  const offset = [0, 1, 4][i % 3]!;
  return {
    m: 1 + (i % 8),
    l: [1, 2, 3, 4, 5, 9, 1, 33, 65][i % 9]!,
    s: offset + c + (i % 4),
    c,
    k,
    q: k - 1,
    offset,
    omit: i % 5 < 3 && k > 1 ? [] : ['state'],
  };
});

const backward = cases.map((c, i) => ({ ...c, w: Number(c.m) * [9, 2, 3, 1][i % 4]!, omit: undefined }));

export default [
  { entry: causalConv1d.forward, cases },
  { entry: causalConv1d.backward, cases: backward },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: causalConv1d.forward,
    outputs: ['y'],
    cases: [
      { m: 2, l: 7, s: 5, c: 3, k: 4, w: 4, offset: 1, omit: ['state'] },
      { m: 1, l: 2, s: 2, c: 2, k: 3, w: 1, offset: 0, omit: ['state'] },
    ],
    backward(be, { x, weight, bias, dy }, { c, k, w, offset }, grad, work) {
      const dweight_rows = work(w!, c!, k!);
      const dbias_rows = work(w!, c!);
      be.run(
        causalConv1d.backward,
        { x: x!, weight: weight!, bias: bias!, dy: dy!, dx: grad('x', 0), dweight_rows, dbias_rows },
        { offset },
      );
      const flat = (t: Tensor, ...rows: number[]) => be.reshape(t, [...rows, c! * k!]);
      be.run(sumRows.forward, { x: flat(dweight_rows, w!), y: flat(grad('weight', 0.5)) });
      be.run(sumRows.forward, { x: dbias_rows, y: grad('bias', 0.5) });
    },
  },
];

export const refused: Refusal[] = [
  [causalConv1d.backward, { m: 2, l: 2, s: 4, c: 4, k: 4, w: 3 }, /dbias_rows has 3 rows for 2 sequences; pass the same/],
  [causalConv1d.backward, { m: 1, l: 2, s: 4, c: 4, k: 4, w: 1, offset: 1 }, /x has 4 channels, expected .* 5; lower offset/],
];
