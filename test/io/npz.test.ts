import { execFileSync, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unzipSync } from 'fflate';
import { expect, it } from 'vitest';
import { ShapeError } from '../../src/core/errors.js';
import { encodeNpz, type NpyArray } from '../../src/io/npz.js';
import { failure, temporaryFolder } from './helpers.js';

const folder = await temporaryFolder();
const arrays: Record<string, NpyArray> = {
  arr_0: { dtype: '|u1', shape: [2, 1, 1, 3], data: new Uint8Array([0, 1, 2, 253, 254, 255]) },
  arr_1: { dtype: '<i8', shape: [2], data: new BigInt64Array([-5n, 1n << 40n]) },
  labels: { dtype: '<i4', shape: [3], data: new Int32Array([-1, 0, 7]) },
  scalar: { dtype: '<f4', shape: [], data: new Float32Array([0.5]) },
  empty: { dtype: '<f4', shape: [0, 4], data: new Float32Array(0) },
};

it('encodeNpz writes a zip of .npy files', async () => {
  const files = unzipSync(await encodeNpz(arrays));
  expect(Object.keys(files)).toEqual(Object.keys(arrays).map((n) => `${n}.npy`));
  const npy = files['arr_0.npy']!;
  expect([...npy.subarray(0, 8)]).toEqual([0x93, ...new TextEncoder().encode('NUMPY'), 1, 0]);
  const length = npy[8]! + npy[9]! * 256;
  expect((10 + length) % 64).toBe(0);
  const header = new TextDecoder().decode(npy.subarray(10, 10 + length));
  expect(header).toMatch(/^\{'descr': '\|u1', 'fortran_order': False, 'shape': \(2, 1, 1, 3\), \} *\n$/);
  expect([...npy.subarray(10 + length)]).toEqual([0, 1, 2, 253, 254, 255]);
  expect(new TextDecoder().decode(files['labels.npy']!)).toContain("'shape': (3,), }");
});

it('equal arrays give equal bytes', async () => {
  expect(await encodeNpz(arrays)).toEqual(await encodeNpz(arrays));
});

it('numpy.load reads the file', async (context) => {
  if (spawnSync('python3', ['-c', 'import numpy']).status !== 0) context.skip('python3 with numpy is not installed');
  const path = join(folder, 'x.npz');
  await writeFile(path, await encodeNpz(arrays));
  const script = `
import json, numpy, sys
with numpy.load(sys.argv[1], allow_pickle=False) as z:
    print(json.dumps({k: [z[k].dtype.str, list(z[k].shape), z[k].ravel().tolist()] for k in z.files}))`;
  const got = JSON.parse(execFileSync('python3', ['-c', script, path], { encoding: 'utf8' }));
  const want = Object.entries(arrays).map(([name, { dtype, shape, data }]) => [name, [dtype, shape, [...data].map(Number)]]);
  expect(got).toEqual(Object.fromEntries(want));
});

it('refuses data of another size or kind', async () => {
  const wrong = (array: unknown) => failure(encodeNpz({ a: array as NpyArray }));
  expect(await wrong({ dtype: '|u1', shape: [3], data: new Uint8Array(2) })).toBeInstanceOf(ShapeError);
  expect((await wrong({ dtype: '|u1', shape: [3], data: new Uint8Array(2) })).message).toMatch(/array a: \[3\] has 3 elements/);
  expect((await wrong({ dtype: '<f4', shape: [2], data: new Uint8Array(2) })).message).toMatch(
    /array a: <f4 is written from Float32Array/,
  );
});
