/** The backward entries of the stage-2 ops are the gradients of their forward entries. */
import { expect, it } from 'vitest';
import type { Tensor } from '../../src/core/tensor.js';
import * as ops from '../../src/ops/index.js';
import { type GradCheck, gradcheck } from './gradcheck_stage2.js';

const { addRmsNorm, causalConv1d, crossEntropy, embedding, groupModulation, rmsNormGated, silu, sumRows, tokenEmbedding } = ops;
const NEW = Number.NaN;

const checks: GradCheck[] = [
  {
    entry: silu.forward,
    outputs: ['y'],
    cases: [
      { m: 1, n: 1 },
      { m: 3, n: 7 },
    ],
    fill: { x: (random) => (random() - 0.5) * 12 },
    backward: (be, { x, dy }, _c, grad) => be.run(silu.backward, { x: x!, dy: dy!, dx: grad('x', NEW) }),
  },
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
      const dres = gate && !res ? work(...x!.shape) : grad(res ? 'res' : 'x', NEW);
      be.run(addRmsNorm.backward, { sum: sum!, weight: weight!, modulation, dy: dy!, dsum, dres, rows }, { eps });
      const dweight_rows = work(m!, d!);
      const dmodulation = modulation && grad('modulation', 0.5);
      be.run(addRmsNorm.backward_params, { rows, weight: weight!, modulation, dmodulation, dweight_rows });
      be.run(sumRows.forward, { x: dweight_rows, y: grad('weight', 0.5) });
      if (gate) be.run(addRmsNorm.backward_gate, { x: x!, gate, dres, dx: grad('x', NEW), dgate: grad('gate', 0.5) });
    },
  },
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
        { x: x!, z: z!, weight: weight!, dy: dy!, dx: grad('x', NEW), dz: grad('z', 0), dweight_rows },
        { groups, z_offset, eps },
      );
      be.run(sumRows.forward, { x: dweight_rows, y: grad('weight', 0.5) });
    },
  },
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
  {
    entry: embedding.forward,
    outputs: ['y'],
    cases: [
      { v: 4, d: 3, m: 7 },
      { v: 1, d: 2, m: 2 },
    ],
    fill: { ids: (random, { v }) => Math.floor(random() * (v! + 1)) },
    backward: (be, { ids, dy }, _c, grad) => be.run(embedding.backward, { ids: ids!, dy: dy!, dtable: grad('table', 0.5) }),
  },
  {
    entry: tokenEmbedding.forward,
    outputs: ['y'],
    cases: [
      { b: 3, m: 3, t: 4, l: 4, v: 3, p: 5, d: 2, shift: 0 },
      { b: 2, m: 2, t: 3, l: 1, v: 3, p: 1, d: 3, shift: 0 },
    ],
    fill: {
      tokens: (random, { v }) => Math.floor(random() * (v! + 1)),
    },
    backward(be, { tokens, dy }, _c, grad) {
      be.run(tokenEmbedding.backward_first, { dy: dy!, dfirst: grad('first', Number.NaN) });
      be.run(tokenEmbedding.backward_word, { tokens: tokens!, dy: dy!, dword: grad('word', 0.5) });
      be.run(tokenEmbedding.backward_pos, { dy: dy!, dpos: grad('pos', 0.5) });
    },
  },
  {
    entry: groupModulation.forward,
    outputs: ['y'],
    cases: [
      { m: 3, g: 2, d: 2, group: 1 },
      { m: 1, g: 1, d: 1, group: 0 },
    ],
    backward: (be, { dy }, { group }, grad) =>
      be.run(groupModulation.backward, { dy: dy!, dgroups: grad('groups', 0.5), dtable: grad('table', 0.5) }, { group }),
  },
  {
    // The same weight on every row's loss, as in a mean.
    entry: crossEntropy.forward,
    outputs: ['loss'],
    cases: [
      { r: 4, v: 5 },
      { r: 1, v: 2 },
    ],
    fill: { targets: (random, { v }) => Math.floor(random() * (v! + 1)) },
    cotangent: 0.25,
    backward: (be, { logits, targets, lse }, _c, grad) =>
      be.run(
        crossEntropy.backward,
        { logits: logits!, targets: targets!, lse: lse!, dlogits: grad('logits', NEW) },
        { scale: 0.25 },
      ),
  },
];

it.each(checks.map((check) => [check.entry.op, check] as const))('%s', async (_op, check) => {
  const wrong: string[] = [];
  for (const [i, c] of check.cases.entries()) wrong.push(...(await gradcheck(check, c, 100 + i)));
  expect(wrong).toEqual([]);
});
