/** Gradients of the tokenizer's ops against finite differences. */
import { expect, it } from 'vitest';
import { attention } from '../../src/ops/attention.js';
import { unitRow } from '../../src/ops/codebook_lookup.reference.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { groupNorm } from '../../src/ops/group_norm.js';
import { linear } from '../../src/ops/linear.js';
import { mse } from '../../src/ops/mse.js';
import { quantize } from '../../src/ops/quantize.js';
import { compare, gradcheck, run } from './gradcheck.js';
import { normal, rng } from './harness.js';

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

it('mse', async () => {
  const [n, scale] = [9, 0.3];
  const random = rng(3);
  const given = { x: Float64Array.from({ length: n }, () => normal(random)), truth: new Float64Array(n).fill(0.5) };
  const { dx } = await run(mse.backward, given, { n, scale, omit: ['loss_scale'] });
  const loss = async (at: Record<string, ArrayLike<number>>) =>
    scale * (await run(mse.forward, at as never, { n, p: 1 })).parts![0]!;
  expect(await compare(loss, given, 'x', dx!)).toEqual([]);
});

it('quantize', async () => {
  const [r, d, v] = [6, 5, 4];
  const random = rng(7);
  const values = (n: number) => Float64Array.from({ length: n }, () => normal(random));
  const given = { z: values(r * d), codebook: values(v * d), dy: values(r * d) };
  const dims = { r, d, v, codebook_weight: 1.5, commitment_weight: 0.25, omit: ['distance', 'loss_scale'] };
  const { codes } = await run(quantize.forward, given, dims);
  const { dz, dcodebook } = await run(quantize.backward, { ...given, codes: codes! }, dims);
  const rows = (of: ArrayLike<number>) => Array.from(codes!).map((_, i) => unitRow(of, i, d));
  const looked = (of: ArrayLike<number>) => Array.from(codes!).map((code) => unitRow(of, code, d));
  const sum = (a: number[][], f: (x: number, i: number, j: number) => number) =>
    a.reduce((total, row, i) => total + row.reduce((part, x, j) => part + f(x, i, j), 0), 0);
  // What is stopped is held where the values started.
  const [sgZ, sgE] = [rows(given.z), looked(given.codebook)];
  const loss = async (at: Record<string, ArrayLike<number>>) => {
    const straight = sum(rows(at.z!), (x, i, j) => (x + sgE[i]![j]! - sgZ[i]![j]!) * given.dy[i * d + j]!);
    const toCodes = sum(looked(at.codebook!), (x, i, j) => (x - sgZ[i]![j]!) ** 2) / (r * d);
    const commitment = sum(rows(at.z!), (x, i, j) => (x - sgE[i]![j]!) ** 2) / (r * d);
    return straight + dims.codebook_weight * toCodes + dims.commitment_weight * commitment;
  };
  expect(await compare(loss, given, 'z', dz!)).toEqual([]);
  expect(await compare(loss, given, 'codebook', dcodebook!)).toEqual([]);
});
