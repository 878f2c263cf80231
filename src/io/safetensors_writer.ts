/**
 * Writes safetensors files: tensors sorted by name, the header padded with spaces to a multiple of 8 bytes, data without gaps.
 */
import { CheckpointError, OptionError, ShapeError } from '../core/errors.js';
import { DTYPE_BYTES, type Dtype, isDtype, toHalves } from './dtype.js';

export type TensorArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

/** A tensor to write. */
export interface TensorData {
  name: string;
  /**
   * Format in the file. F16 and BF16 are rounded from a Float32Array; F32 may be rounded from a Float64Array; others are
   * unchanged.
   */
  dtype: Dtype;
  shape: readonly number[];
  /** Row-major. A function is called when its tensor is written, so that not all tensors are in memory at once. */
  data: TensorArray | (() => TensorArray | Promise<TensorArray>);
}

/** Elements to convert at once. A piece then has at most 8 MiB. */
const PIECE = 2 ** 20;

const ARRAYS: Record<Dtype, string[]> = {
  F64: ['Float64Array'],
  F32: ['Float32Array', 'Float64Array'],
  F16: ['Float32Array'],
  BF16: ['Float32Array'],
  I64: ['BigInt64Array'],
  I32: ['Int32Array'],
  I16: ['Int16Array'],
  I8: ['Int8Array'],
  U8: ['Uint8Array'],
  U16: ['Uint16Array'],
  U32: ['Uint32Array'],
  U64: ['BigUint64Array'],
  BOOL: ['Uint8Array'],
};

/**
 * Writes a safetensors file as a stream of pieces, for writeAtomic. A piece may be a view of the caller's data. Throws
 * OptionError for a name, dtype or metadata that cannot be stored, ShapeError for data whose size or type does not match, and
 * CheckpointError (with tensor and index) for a value that is too large for its dtype.
 */
export async function* writeSafetensors(
  tensors: Iterable<TensorData>,
  metadata: Readonly<Record<string, string>> = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const sorted = order(tensors);
  yield encodeHeader(sorted, metadata);
  for (const t of sorted) yield* pieces(t, typeof t.data === 'function' ? await t.data() : t.data);
}

/** Encodes a small safetensors file in memory. Throws like writeSafetensors. */
export function encodeSafetensors(
  tensors: Iterable<TensorData & { data: TensorArray }>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const sorted = order(tensors);
  const header = encodeHeader(sorted, metadata);
  const out = new Uint8Array(sorted.reduce((sum, t) => sum + byteLength(t), header.length));
  out.set(header);
  let at = header.length;
  for (const t of sorted) {
    for (const piece of pieces(t, t.data)) {
      out.set(piece, at);
      at += piece.length;
    }
  }
  return out;
}

function order<T extends TensorData>(tensors: Iterable<T>): T[] {
  const sorted = [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1));
  sorted.forEach(({ name, dtype, shape }, i) => {
    if (typeof name !== 'string' || name === '__metadata__' || /\p{Surrogate}/u.test(name))
      throw new OptionError(`a tensor cannot be stored as ${JSON.stringify(name)}; give it another name.`);
    if (sorted[i + 1]?.name === name) throw new OptionError(`there are two tensors ${name}; give each a name of its own.`);
    if (!isDtype(dtype))
      throw new OptionError(`tensor ${name}: there is no dtype ${dtype}; use one of ${Object.keys(DTYPE_BYTES).join(', ')}.`);
    const sizes = shape.every((d) => Number.isSafeInteger(d) && d >= 0);
    if (!sizes || !Number.isSafeInteger(byteLength({ dtype, shape })))
      throw new ShapeError(`tensor ${name} cannot have the shape [${shape}]; give whole, positive numbers.`);
  });
  return sorted;
}

function count(shape: readonly number[]): number {
  return shape.reduce((product, d) => product * d, 1);
}

function byteLength({ dtype, shape }: Pick<TensorData, 'dtype' | 'shape'>): number {
  return count(shape) * DTYPE_BYTES[dtype];
}

function encodeHeader(sorted: readonly TensorData[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const items: string[] = [];
  const texts = Object.entries(metadata);
  for (const [key, value] of texts)
    if (typeof value !== 'string')
      throw new OptionError(`metadata ${key} is not a string; convert it, e.g. with JSON.stringify.`);
  if (texts.length) items.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let at = 0;
  for (const { name, dtype, shape } of sorted) {
    const end = at + byteLength({ dtype, shape });
    items.push(`${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${at},${end}]}`);
    at = end;
  }
  const json = new TextEncoder().encode(`{${items.join()}}`);
  const out = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(out.buffer).setBigUint64(0, BigInt(out.length - 8), true);
  out.set(json, 8);
  return out;
}

function* pieces({ name, dtype, shape }: TensorData, data: TensorArray): Generator<Uint8Array, void, undefined> {
  // Compare tags instead of using instanceof: data may come from another realm, and Node's Buffer is a Uint8Array.
  const kind = Object.prototype.toString.call(data).slice(8, -1);
  if (!ARRAYS[dtype].includes(kind))
    throw new ShapeError(
      `tensor ${name}: ${dtype} is written from ${ARRAYS[dtype].join(' or ')}, not ${kind}; convert it first.`,
    );
  if (data.length !== count(shape))
    throw new ShapeError(`tensor ${name}: [${shape}] has ${count(shape)} elements and the data ${data.length}; make them agree.`);
  for (let at = 0; at < data.length; at += PIECE) {
    const part = convert(data.subarray(at, at + PIECE), dtype, `tensor ${name}`, at);
    yield new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
  }
}

function convert(part: TensorArray, dtype: Dtype, what: string, first: number): TensorArray {
  if (dtype === 'F16' || dtype === 'BF16') return toHalves(part as Float32Array, dtype, what, first);
  if (dtype === 'F32' && part.BYTES_PER_ELEMENT === 8) {
    const out = new Float32Array(part as Float64Array);
    const i = out.findIndex((v, j) => Number.isFinite(part[j]) && !Number.isFinite(v));
    if (i >= 0) throw new CheckpointError(`${what}: ${part[i]} at index ${first + i} is too large for F32; save it as F64.`);
    return out;
  }
  if (dtype === 'BOOL') {
    const i = (part as Uint8Array).findIndex((v) => v > 1);
    if (i >= 0) throw new OptionError(`${what}: ${part[i]} at index ${first + i} is not a BOOL; give 0 or 1.`);
  }
  return part;
}
