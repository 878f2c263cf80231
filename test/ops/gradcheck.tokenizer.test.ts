/** Gradients of the tokenizer's ops against finite differences. */
import { expect, it } from 'vitest';
import { attention } from '../../src/ops/attention.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { groupNorm } from '../../src/ops/group_norm.js';
import { linear } from '../../src/ops/linear.js';
import { gradcheck } from './gradcheck.js';

it('linear', async () => {
  const backward = [linear.backward_input, linear.backward_weight];
  for (const c of [
    { m: 3, k: 5, n: 4, p: 1 },
    { m: 5, k: 2, n: 7, p: 3, omit: ['residual'] },
    { m: 4, k: 6, n: 2, p: 2, omit: ['bias', 'dbias', 'residual'] },
  ])
    expect(await gradcheck(linear.forward, backward, c)).toEqual([]);
});

it('conv2d', async () => {
  const backward = [conv2d.backward_input, conv2d.backward_weight];
  const d = { b: 2, hi: 4, wi: 3, ci: 2, co: 3, kh: 3, kw: 3, ho: 4, wo: 3, stride: 1, pad: 1, up: 1, p: 1 };
  for (const c of [
    d,
    { ...d, p: 3, omit: ['residual'] },
    { ...d, ho: 8, wo: 6, up: 2, p: 2 },
    { ...d, ho: 2, wo: 1, stride: 2, pad: 0 },
    { ...d, ho: 2, wo: 2, stride: 2, pad: 1 },
  ])
    expect(await gradcheck(conv2d.forward, backward, c)).toEqual([]);
});

it('group_norm', async () => {
  for (const c of [
    { b: 2, s: 5, c: 6, groups: 2, eps: 1e-6, swish: 1 },
    { b: 1, s: 3, c: 4, groups: 4, eps: 1e-2, swish: 0 },
    { b: 3, s: 4, c: 3, groups: 1, eps: 1e-6, swish: 1 },
  ])
    expect(await gradcheck(groupNorm.forward, [groupNorm.backward], c)).toEqual([]);
});

it('attention', async () => {
  for (const c of [
    { b: 2, s: 5, c: 3 },
    { b: 1, s: 1, c: 4 },
    { b: 1, s: 9, c: 6 },
  ])
    expect(await gradcheck(attention.forward, [attention.backward_query, attention.backward_key], c)).toEqual([]);
});
