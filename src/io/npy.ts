/**
 * Reads NumPy's .npy arrays and .npz archives, such as published statistics (`mu`, `sigma`) and samples (`arr_0`). Arrays of
 * objects, which contain pickles, are refused. Source: numpy/lib/format.py, versions 1 to 3. npz.ts writes .npz files.
 */
import { CheckpointError } from '../core/errors.js';
import type { ByteSource } from './bytes.js';
import { entryOffset, readEntry, readZip, type ZipEntry } from './zip.js';

const ARRAYS = {
  '|b1': Uint8Array,
  '|u1': Uint8Array,
  '|i1': Int8Array,
  '<i2': Int16Array,
  '<u2': Uint16Array,
  '<i4': Int32Array,
  '<u4': Uint32Array,
  '<i8': BigInt64Array,
  '<u8': BigUint64Array,
  '<f4': Float32Array,
  '<f8': Float64Array,
} as const;
export type NpyType = keyof typeof ARRAYS;
type NpyData = InstanceType<(typeof ARRAYS)[NpyType]>;

/** An array in row-major order, whatever the order in the file. */
export interface NpyValue {
  dtype: NpyType;
  shape: number[];
  data: NpyData;
}

interface Header {
  dtype: NpyType;
  shape: number[];
  fortran: boolean;
  /** Offset of the data. */
  start: number;
  /** Number of elements. */
  count: number;
  /** Bytes of an element. */
  item: number;
}

/** Largest size of what is read at once. Larger arrays of images are read in rows. */
const MAX_BYTES = 2 ** 31;
const MAX_HEADER = 2 ** 16;

/** Parses a .npy file. Throws CheckpointError with the file's name for what cannot be read. */
export function parseNpy(bytes: Uint8Array, name: string): NpyValue {
  const header = parseHeader(bytes, name);
  const { dtype, shape, start, count, item } = header;
  if (bytes.length !== start + count * item)
    throw bad(name, `has ${bytes.length - start} bytes of data, and [${shape}] of ${dtype} takes ${count * item}`);
  const Kind = ARRAYS[dtype];
  const data = new Kind(bytes.slice(start).buffer as ArrayBuffer);
  return { dtype, shape, data: header.fortran ? rowMajor(data, shape) : data };
}

/** The arrays of an .npz archive, which are read on request. */
export interface Npz {
  readonly names: readonly string[];
  /** A whole array of at most 2 GiB. Throws CheckpointError if there is none of this name. */
  read(name: string, signal?: AbortSignal): Promise<NpyValue>;
  /** An array of floats as float64, e.g. `mu` [d] or `sigma` [d, d], saved as float32 or float64. */
  floats(name: string, signal?: AbortSignal): Promise<{ shape: number[]; data: Float64Array }>;
  /** Type and shape of an array, and whether it was saved with compression, so that it can only be read whole. */
  describe(name: string, signal?: AbortSignal): Promise<{ dtype: NpyType; shape: number[]; compressed: boolean }>;
  /** Rows [first, last) of an array that was saved without compression. A file of many images can be read this way in pieces. */
  rows(name: string, first: number, last: number, signal?: AbortSignal): Promise<NpyValue>;
}

/** Opens an .npz archive (numpy.savez or savez_compressed). Throws CheckpointError if it is not one. */
export async function openNpz(source: ByteSource, signal?: AbortSignal): Promise<Npz> {
  const entries = new Map<string, ZipEntry>();
  for (const [path, entry] of await readZip(source, signal)) if (path.endsWith('.npy')) entries.set(path.slice(0, -4), entry);
  const names = [...entries.keys()];
  const find = (name: string): ZipEntry => {
    const entry = entries.get(name);
    if (entry) return entry;
    throw new CheckpointError(
      `${source.name} has no array ${name} (it has ${names.slice(0, 10).join(', ') || 'none'}); pass the file that has it.`,
    );
  };
  const shown = (name: string) => `${source.name}: ${name}`;
  const npz: Npz = {
    names,
    async read(name, stop) {
      return parseNpy(await readEntry(source, find(name), MAX_BYTES, stop), shown(name));
    },
    async floats(name, stop) {
      const { dtype, shape, data } = await npz.read(name, stop);
      if (data instanceof Float64Array) return { shape, data };
      if (data instanceof Float32Array) return { shape, data: Float64Array.from(data) };
      throw new CheckpointError(`${shown(name)} holds ${dtype}, not float32 or float64; this is another kind of file.`);
    },
    async describe(name, stop) {
      const entry = find(name);
      const compressed = entry.method !== 0;
      if (compressed) {
        const { dtype, shape } = await npz.read(name, stop);
        return { dtype, shape, compressed };
      }
      const begin = await entryOffset(source, entry, stop);
      const { dtype, shape } = parseHeader(await source.read(begin, Math.min(entry.size, MAX_HEADER), stop), shown(name));
      return { dtype, shape, compressed };
    },
    async rows(name, first, last, stop) {
      const entry = find(name);
      if (entry.method !== 0)
        throw new CheckpointError(`${shown(name)} is compressed, so that no part can be read; save it with numpy.savez.`);
      const begin = await entryOffset(source, entry, stop);
      const header = parseHeader(await source.read(begin, Math.min(entry.size, MAX_HEADER), stop), shown(name));
      const { dtype, shape, start, count, item, fortran } = header;
      if (entry.size !== start + count * item)
        throw bad(shown(name), `has ${entry.size - start} bytes of data instead of ${count * item}`);
      const [total = 0, ...rest] = shape;
      if (fortran && rest.length) throw bad(shown(name), 'is stored by columns, so that no rows can be read');
      if (!(Number.isInteger(first) && first >= 0 && first <= last && last <= total))
        throw new CheckpointError(`${shown(name)} has ${total} rows, and rows ${first} to ${last} were asked for.`);
      const length = rest.reduce((product, size) => product * size, item);
      if ((last - first) * length > MAX_BYTES) throw bad(shown(name), `has rows of ${length} bytes, too long for one piece`);
      const bytes = await source.read(begin + start + first * length, (last - first) * length, stop);
      return { dtype, shape: [last - first, ...rest], data: new ARRAYS[dtype](new Uint8Array(bytes).buffer) };
    },
  };
  return npz;
}

function parseHeader(bytes: Uint8Array, name: string): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const major = bytes[6]!;
  if (bytes.length < 12 || view.getUint32(0) !== 0x934e554d || view.getUint16(4) !== 0x5059 || major < 1 || major > 3)
    throw bad(name, 'does not begin like a NumPy array');
  const [at, length] = major === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
  const start = at + length;
  if (length > MAX_HEADER - 12 || start > bytes.length) throw bad(name, `has a header of ${length} bytes`);
  const text = new TextDecoder().decode(bytes.subarray(at, start));
  const descr = /'descr':\s*'([^']*)'/.exec(text)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const sizes = /'shape':\s*\(([\d,\s]*)\)/.exec(text)?.[1];
  if (order === undefined || sizes === undefined) throw bad(name, 'has a header without shape and order');
  if (descr === undefined || !Object.hasOwn(ARRAYS, descr))
    throw new CheckpointError(
      `${name} holds ${descr === undefined ? 'a record type' : JSON.stringify(descr)}, which is not read (arrays of objects hold ` +
        `Python code); save it as one of ${Object.keys(ARRAYS).join(', ')}.`,
    );
  const dtype = descr as NpyType;
  const shape = sizes.split(',').flatMap((size) => (size.trim() ? [Number(size)] : []));
  const count = shape.reduce((product, size) => product * size, 1);
  const item = ARRAYS[dtype].BYTES_PER_ELEMENT;
  if (!Number.isSafeInteger(count * item)) throw bad(name, `has the shape [${shape}], larger than any file`);
  return { dtype, shape, fortran: order === 'True', start, count, item };
}

/** Reorders elements from column-major (the first index varies fastest) to row-major. */
function rowMajor<T extends NpyData>(data: T, shape: readonly number[]): T {
  const out = data.slice() as T;
  const index = new Array<number>(shape.length).fill(0);
  for (let i = 0; i < data.length; i++) {
    let to = 0;
    for (let d = 0; d < shape.length; d++) to = to * shape[d]! + index[d]!;
    out[to] = data[i]!;
    for (let d = 0; d < shape.length && ++index[d]! === shape[d]; d++) index[d] = 0;
  }
  return out;
}

function bad(name: string, what: string): CheckpointError {
  return new CheckpointError(`${name} ${what}; the file is damaged or no NumPy file: save or download it again.`);
}
