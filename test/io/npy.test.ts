/** Reading NumPy arrays: from our own writer, compressed, and from hand-made files of other versions and orders. */
import { zipSync } from 'fflate';
import { expect, it } from 'vitest';
import { CheckpointError } from '../../src/core/errors.js';
import { bytesSource } from '../../src/io/bytes.js';
import { openNpz, parseNpy } from '../../src/io/npy.js';
import { encodeNpz } from '../../src/io/npz.js';
import { failure } from './helpers.js';

function npy(descr: string, shape: string, data: ArrayBufferView, { fortran = false, version = 1 } = {}): Uint8Array {
  const dict = `{'descr': ${descr}, 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': ${shape}, }\n`;
  const length = version === 1 ? [dict.length & 255, dict.length >> 8] : [dict.length & 255, dict.length >> 8, 0, 0];
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return Uint8Array.from([
    0x93,
    ...new TextEncoder().encode('NUMPY'),
    version,
    0,
    ...length,
    ...new TextEncoder().encode(dict),
    ...bytes,
  ]);
}

it('reads files that encodeNpz writes', async () => {
  const images = Uint8Array.from({ length: 5 * 12 }, (_, i) => i);
  const npz = await openNpz(
    bytesSource(
      await encodeNpz({
        arr_0: { dtype: '|u1', shape: [5, 2, 2, 3], data: images },
        arr_1: { dtype: '<i8', shape: [2], data: new BigInt64Array([-5n, 1n]) },
        mu: { dtype: '<f4', shape: [2], data: new Float32Array([0.5, -1]) },
      }),
    ),
  );
  expect(npz.names).toEqual(['arr_0', 'arr_1', 'mu']);
  expect(await npz.read('arr_0')).toEqual({ dtype: '|u1', shape: [5, 2, 2, 3], data: images });
  expect(await npz.rows('arr_0', 1, 3)).toEqual({ dtype: '|u1', shape: [2, 2, 2, 3], data: images.slice(12, 36) });
  expect((await npz.read('arr_1')).data).toEqual(new BigInt64Array([-5n, 1n]));
  expect(await npz.floats('mu')).toEqual({ shape: [2], data: new Float64Array([0.5, -1]) });
  expect((await failure(npz.floats('arr_0'))).message).toMatch(/holds \|u1, not float32/);
  expect((await failure(npz.read('sigma'))).message).toMatch(/has no array sigma \(it has arr_0, arr_1, mu\)/);
  expect((await failure(npz.rows('arr_0', 4, 6))).message).toMatch(/has 5 rows/);
});

it('reads compressed archives, arrays in Fortran order and every format version', async () => {
  const sigma = new Float64Array([1, 2, 3, 4, 5, 6]);
  for (const version of [1, 2, 3]) {
    const files = {
      'sigma.npy': npy("'<f8'", '(2, 3)', sigma, { version, fortran: true }),
      'one.npy': npy("'<f8'", '()', sigma.slice(5)),
    };
    const npz = await openNpz(bytesSource(zipSync(files, { level: 9 })));
    expect(await npz.floats('sigma')).toEqual({ shape: [2, 3], data: new Float64Array([1, 3, 5, 2, 4, 6]) });
    expect(await npz.floats('one')).toEqual({ shape: [], data: new Float64Array([6]) });
    expect((await failure(npz.rows('sigma', 0, 1))).message).toMatch(/is compressed/);
  }
});

it('refuses object arrays, truncated and damaged files', async () => {
  const data = new Float64Array(2);
  const refuse = (bytes: Uint8Array, message: RegExp) => {
    expect(() => parseNpy(bytes, 'x.npy')).toThrow(CheckpointError);
    expect(() => parseNpy(bytes, 'x.npy')).toThrow(message);
  };
  refuse(npy("'|O'", '(2,)', data), /x\.npy holds "\|O", which is not read/);
  refuse(npy("[('a', '<f8')]", '(2,)', data), /a record type/);
  refuse(npy("'<f8'", '(3,)', data), /has 16 bytes of data, and \[3\] of <f8 takes 24/);
  refuse(npy("'<f8'", '(99999999, 99999999, 9)', data), /larger than any file/);
  refuse(npy("'<f8'", '(-1,)', data), /without shape/);
  refuse(new Uint8Array(40), /does not begin like/);
  const archive = zipSync({ 'mu.npy': npy("'<f8'", '(2,)', data) }, { level: 0 });
  archive[archive.indexOf(0x93) + 80]! ^= 255;
  const npz = await openNpz(bytesSource(archive, 'stats.npz'));
  expect((await failure(npz.read('mu'))).message).toMatch(/stats\.npz has a damaged entry "mu\.npy"/);
  expect(await failure(openNpz(bytesSource(archive.subarray(0, 60))))).toBeInstanceOf(CheckpointError);
});
