import { addRmsNorm } from '../../src/ops/add_rms_norm.js';
import { sumRows } from '../../src/ops/sum_rows.js';
import type { Refusal } from './all_cases.js';
import type { Gradient } from './gradient.js';
import type { Case, OpCases } from './harness.js';

const OPTIONAL = ['res', 'gate', 'modulation', 'sum'];
const widths = [64, 1, 3, 4, 8, 129, 255, 256, 257, 12, 520, 7];

// Every subset of the optional tensors, then the ones a model calls.
const cases: Case[] = Array.from({ length: 16 }, (_, i) => ({
  m: 1 + (i % 8),
  l: [1, 2, 1, 5][i % 4]!,
  d: widths[i % widths.length]!,
  g: 3,
  c: 2 + (i % 2),
  eps: 1e-5,
  omit: OPTIONAL.filter((_, q) => (i >> q) & 1),
}));
for (const [i, d] of widths.entries())
  cases.push({ m: 1 + ((3 * i) % 8), l: 1 + (i % 3), d, g: 3, c: 3, eps: i % 2 ? 1e-5 : 0.1, omit: i % 4 === 3 ? ['gate'] : [] });

const backward: Case[] = Array.from({ length: 24 }, (_, i) => {
  const l = [1, 2, 5, 9, 17][i % 5]!;
  return {
    m: 1 + (i % 8),
    l,
    d: widths[i % widths.length]!,
    c: 2 + (i % 2),
    w: Math.min(l, [1, 2, 4, 17][i % 4]!),
    eps: i % 3 ? 1e-5 : 0.1,
    omit: ['modulation', 'dsum', 'dmodulation'].filter((_, q) => (i >> q) & 1),
  };
});

export default [
  { entry: addRmsNorm.forward, cases },
  { entry: addRmsNorm.backward, cases: backward },
  { entry: addRmsNorm.backward_params, cases: backward },
  { entry: addRmsNorm.backward_gate, cases: backward },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: addRmsNorm.forward,
    outputs: ['y', 'sum'],
    cases: [
      { m: 2, l: 3, d: 5, g: 3, c: 3, w: 2, eps: 1e-5 },
      { m: 1, l: 1, d: 1, g: 3, c: 2, w: 1, eps: 0.1 },
      { m: 2, l: 4, d: 3, g: 3, c: 3, w: 4, eps: 1e-5, omit: ['res', 'gate'] },
      { m: 3, l: 5, d: 4, g: 3, c: 2, w: 3, eps: 1e-5, omit: ['modulation'] },
      { m: 2, l: 2, d: 6, g: 3, c: 2, w: 1, eps: 1e-3, omit: ['res', 'gate', 'modulation'] },
    ],
    backward(be, t, { m, w, d, eps }, grad, work) {
      const { x, res, gate, weight, modulation, sum, dy, dsum } = t;
      const rows = work(m!, w!, 2, d!);
      // Without a gate dres is the gradient of x too.
      const dres = gate && !res ? work(...x!.shape) : grad(res ? 'res' : 'x', Number.NaN);
      be.run(addRmsNorm.backward, { sum: sum!, weight: weight!, modulation, dy: dy!, dsum, dres, rows }, { eps });
      const dweight_rows = work(m!, d!);
      const dmodulation = modulation && grad('modulation', 0.5);
      be.run(addRmsNorm.backward_params, { rows, weight: weight!, modulation, dmodulation, dweight_rows });
      be.run(sumRows.forward, { x: dweight_rows, y: grad('weight', 0.5) });
      if (gate) be.run(addRmsNorm.backward_gate, { x: x!, gate, dres, dx: grad('x', Number.NaN), dgate: grad('gate', 0.5) });
    },
  },
];

export const refused: Refusal[] = [
  [addRmsNorm.backward, { m: 1, l: 2, d: 3, c: 3, w: 3 }, /rows has 3 parts for 2 positions; pass at most 2/],
  [addRmsNorm.backward, { m: 1, l: 2, d: 3, c: 1, w: 1 }, /modulation has 1 row, .*; pass \[m, 2, d\]/],
];
