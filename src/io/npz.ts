/** Writes NumPy's .npz: a zip archive (not compressed) of .npy files, each a header of version 1.0 and raw little-endian data. */
import { OptionError, ShapeError } from '../core/errors.js';

/** One array. `shape` is row-major, and its product must equal the length of `data`. */
export type NpyArray =
  | { dtype: '|u1'; shape: readonly number[]; data: Uint8Array }
  | { dtype: '<i4'; shape: readonly number[]; data: Int32Array }
  | { dtype: '<i8'; shape: readonly number[]; data: BigInt64Array }
  | { dtype: '<f4'; shape: readonly number[]; data: Float32Array }
  | { dtype: '<f8'; shape: readonly number[]; data: Float64Array };

const KINDS = { '|u1': 'Uint8Array', '<i4': 'Int32Array', '<i8': 'BigInt64Array', '<f4': 'Float32Array', '<f8': 'Float64Array' };
/** The size limit of a zip archive without the 64-bit extension. */
export const MAX_NPZ_BYTES = 2 ** 32 - 2 ** 20;

/**
 * The bytes of an .npz file that numpy.load reads, e.g. { arr_0: images, arr_1: labels }. Equal arrays give equal bytes. Throws
 * ShapeError if data and shape disagree, OptionError beyond 4 GiB.
 */
export async function encodeNpz(arrays: Readonly<Record<string, NpyArray>>): Promise<Uint8Array> {
  const files: Record<string, Uint8Array> = {};
  let total = 0;
  for (const [name, array] of Object.entries(arrays)) {
    total += array.data.byteLength;
    if (total > MAX_NPZ_BYTES)
      throw new OptionError(`the arrays take ${total} bytes, and an .npz holds 4 GiB; write several files.`);
    files[`${name}.npy`] = encodeNpy(name, array);
  }
  const { zipSync } = await import('fflate');
  return zipSync(files, { level: 0, mtime: new Date(1980, 0, 1) });
}

function encodeNpy(name: string, { dtype, shape, data }: NpyArray): Uint8Array {
  const kind = Object.prototype.toString.call(data).slice(8, -1);
  if (KINDS[dtype] !== kind)
    throw new ShapeError(
      `array ${name}: ${dtype} is written from ${KINDS[dtype] ?? 'nothing known'}, not ${kind}; convert it first.`,
    );
  const count = shape.reduce((product, d) => product * d, 1);
  if (count !== data.length)
    throw new ShapeError(`array ${name}: [${shape}] has ${count} elements and the data ${data.length}; make them agree.`);
  // A Python tuple of one element is written with a comma.
  const dict = `{'descr': '${dtype}', 'fortran_order': False, 'shape': (${shape.join(', ')}${shape.length === 1 ? ',' : ''}), }`;
  // Magic, version and length take 10 bytes. Spaces and a newline align the data to a multiple of 64.
  const start = Math.ceil((10 + dict.length + 1) / 64) * 64;
  const out = new Uint8Array(start + data.byteLength);
  out.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, (start - 10) & 255, (start - 10) >> 8]);
  out.set(new TextEncoder().encode(`${dict.padEnd(start - 11)}\n`), 10);
  out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), start);
  return out;
}
