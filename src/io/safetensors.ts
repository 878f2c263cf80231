/**
 * Reads safetensors files: 8 bytes of header length (little-endian), a JSON header of
 * `name: { dtype, shape, data_offsets: [begin, end] }` and `__metadata__`, then the data without gaps.
 * Source: the format description of huggingface/safetensors. The header is checked completely before any tensor is read.
 */
import { CheckpointError, OptionError } from '../core/errors.js';
import { pause } from '../platform/runtime.js';
import { type ByteSource, bytesSource, isBytes } from './bytes.js';
import { DTYPE_BYTES, type Dtype, elements, type FloatDtype, isDtype, isFloat, toFloat32 } from './dtype.js';

export { DTYPE_BYTES, type Dtype } from './dtype.js';
export { encodeSafetensors, type TensorArray, type TensorData, writeSafetensors } from './safetensors_writer.js';

/** One tensor in a safetensors header. */
export interface TensorEntry {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Byte range, relative to the end of the header. */
  readonly begin: number;
  readonly end: number;
}

/** A checked header. */
export interface SafetensorsHeader {
  readonly metadata: ReadonlyMap<string, string>;
  /** The tensors in file order. Reading them in this order never seeks backwards. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** Offset of the data in the file. */
  readonly dataOffset: number;
}

/** How a tensor is read. */
export interface ReadOptions {
  /** Bytes of the file per piece; a piece has at least one element. Default 4 MiB. */
  chunkBytes?: number;
  /** True to throw CheckpointError, with tensor and index, at the first NaN or infinity. */
  finite?: boolean;
  signal?: AbortSignal | undefined;
}

/**
 * Longest header read, in bytes. The format allows 100 MB, which takes minutes and gigabytes to parse; this is enough for
 * 100,000 tensors.
 */
const MAX_HEADER = 16 * 2 ** 20;
/** Most keys of one object. A header of more, shorter ones takes many seconds to parse. */
const MAX_KEYS = 200_000;
/** Characters of a header to scan before timers and abort signals get a chance to run. */
const SCAN_SLICE = 2 ** 20;
const CHUNK_BYTES = 4 * 2 ** 20;
/** Nesting depth of a valid header: the root, an entry, its arrays. */
const MAX_DEPTH = 3;

/**
 * Reads and checks the header. Throws CheckpointError with the file and the tensor for anything that the format does not allow
 * (damaged JSON, duplicate keys, unknown dtypes, sizes that do not match, overlaps, gaps, missing or extra bytes), and for a
 * header of more than 16 MiB or 200,000 names.
 */
export async function parseHeader(
  input: ByteSource | Uint8Array | ArrayBuffer,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<SafetensorsHeader> {
  const source = isBytes(input) ? bytesSource(input) : input;
  const { name: file } = source;
  if (source.size < 8) throw bad(file, `has only ${source.size} bytes, less than the 8 of a header length`);
  const start = await source.read(0, 8, signal);
  // Not before the first read: a source may learn its size, or which format it holds, from its first bytes.
  const { size } = source;
  const claimed = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true);
  if (claimed > MAX_HEADER) throw foreign(file, start, claimed);
  const length = Number(claimed);
  if (length > size - 8)
    throw bad(file, `is cut off: its header should have ${length} bytes, and ${length - (size - 8)} of them are missing`);
  const root = await parseJson(file, await source.read(8, length, signal), signal);
  const dataOffset = 8 + length;

  const entries: [string, TensorEntry][] = [];
  let metadata = new Map<string, string>();
  for (const [name, value] of Object.entries(root)) {
    if (name === '__metadata__') metadata = parseMetadata(file, value);
    else entries.push([name, parseEntry(file, name, value)]);
  }
  entries.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  checkLayout(file, entries, size - dataOffset);
  return { metadata, tensors: new Map(entries), dataOffset };
}

/**
 * Yields the elements of a floating-point tensor as float32, in order and in pieces, so that little of the file is in memory at
 * once. A piece may be a view of the source's memory: use it before requesting the next one, and do not write to it. Throws
 * CheckpointError if there is no such tensor, if it holds integers, or (with `finite`) if it holds NaN or infinity.
 */
export async function* tensorChunks(
  source: ByteSource,
  header: SafetensorsHeader,
  name: string,
  { finite = false, ...options }: ReadOptions = {},
): AsyncGenerator<Float32Array, void, undefined> {
  const entry = find(source, header, name);
  const { dtype } = entry;
  if (!isFloat(dtype))
    throw new CheckpointError(
      `${source.name}: tensor ${name} is ${dtype}, not floating point; this file does not fit the model.`,
    );
  let first = 0;
  for await (const bytes of rawChunks(source, header, entry, options)) {
    const piece = toFloat32(bytes, dtype);
    if (finite) checkFinite(piece, source.name, name, dtype, first);
    first += piece.length;
    yield piece;
  }
}

/** Reads a whole floating-point tensor to a new float32 array, row-major. Throws like tensorChunks. */
export async function readFloats(
  source: ByteSource,
  header: SafetensorsHeader,
  name: string,
  options: ReadOptions = {},
): Promise<Float32Array> {
  const out = new Float32Array(elementCount(find(source, header, name)));
  let at = 0;
  for await (const piece of tensorChunks(source, header, name, options)) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

/**
 * Reads a whole integer tensor, row-major: Int32Array for I8 to I64, Uint32Array for BOOL and U8 to U64. Throws CheckpointError
 * if the tensor is missing or floating-point, or if a value exceeds 32 bits (with its index).
 */
export async function readInts(
  source: ByteSource,
  header: SafetensorsHeader,
  name: string,
  options: Omit<ReadOptions, 'finite'> = {},
): Promise<Int32Array | Uint32Array> {
  const entry = find(source, header, name);
  const { dtype } = entry;
  if (isFloat(dtype))
    throw new CheckpointError(`${source.name}: tensor ${name} is ${dtype}, not of integers; this file does not fit its use.`);
  const count = elementCount(entry);
  const out = dtype.startsWith('I') ? new Int32Array(count) : new Uint32Array(count);
  let at = 0;
  for await (const bytes of rawChunks(source, header, entry, options)) {
    if (dtype === 'I64' || dtype === 'U64') {
      for (const value of elements(bytes, dtype)) {
        out[at] = Number(value);
        if (BigInt(out[at]!) !== value)
          throw new CheckpointError(
            `${source.name}: tensor ${name} has ${value} at index ${at}, beyond 32 bits; save it smaller.`,
          );
        at++;
      }
    } else {
      const part = elements(bytes, dtype);
      out.set(part, at);
      at += part.length;
    }
  }
  return out;
}

/** Number of elements. */
function elementCount({ dtype, begin, end }: TensorEntry): number {
  return (end - begin) / DTYPE_BYTES[dtype];
}

async function* rawChunks(
  source: ByteSource,
  header: SafetensorsHeader,
  { dtype, begin, end }: TensorEntry,
  { chunkBytes = CHUNK_BYTES, signal }: ReadOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (!(chunkBytes >= 1)) throw new OptionError(`chunkBytes is ${chunkBytes}; give a positive number of bytes.`);
  const item = DTYPE_BYTES[dtype];
  const step = Math.max(1, Math.floor(chunkBytes / item)) * item;
  for (let at = begin; at < end; at += step) {
    signal?.throwIfAborted();
    yield await source.read(header.dataOffset + at, Math.min(step, end - at), signal);
  }
}

function find(source: ByteSource, header: SafetensorsHeader, name: string): TensorEntry {
  const entry = header.tensors.get(name);
  if (!entry) throw new CheckpointError(`${source.name}: there is no tensor ${name}; this file does not fit the model.`);
  return entry;
}

function checkFinite(piece: Float32Array, file: string, name: string, dtype: FloatDtype, first: number): void {
  for (let i = 0; i < piece.length; i++) {
    const v = piece[i]!;
    // The difference is 0 for finite values and NaN for all others.
    if (v - v !== 0)
      throw new CheckpointError(
        `${file}: tensor ${name} (${dtype}) has ${v} at index ${first + i}; its training diverged or the file is damaged: take another checkpoint.`,
      );
  }
}

async function parseJson(file: string, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<object> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch (error) {
    if ((error as Error).name !== 'TypeError') throw error;
    throw bad(file, 'has a header that is not valid UTF-8', error);
  }
  await scanKeys(file, text, signal);
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch (error) {
    if ((error as Error).name !== 'SyntaxError') throw error;
    throw bad(file, `has a header that is not valid JSON (${short((error as Error).message)})`, error);
  }
  if (!isObject(root)) throw bad(file, 'has a header that is not a JSON object');
  return root;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Refuses duplicate keys, of which JSON.parse would silently use the last, and nesting that is deeper than in any header and
 * could exhaust memory. Only strings and brackets are looked at; JSON.parse finds all other mistakes.
 */
async function scanKeys(file: string, text: string, signal: AbortSignal | undefined): Promise<void> {
  /** For each open bracket: the keys of an object so far, or undefined for an array. */
  const open: (Set<string> | undefined)[] = [];
  let owner = '';
  let pauseAt = SCAN_SLICE;
  for (let i = 0; i < text.length; i++) {
    if (i >= pauseAt) {
      pauseAt = i + SCAN_SLICE;
      await pause();
      signal?.throwIfAborted();
    }
    const c = text.charCodeAt(i);
    if (c === 0x7b || c === 0x5b) {
      open.push(c === 0x7b ? new Set() : undefined);
      if (open.length > MAX_DEPTH) throw bad(file, `has a header nested too deeply${owner && ` at ${short(owner)}`}`);
    } else if (c === 0x7d || c === 0x5d) open.pop();
    else if (c === QUOTE) {
      const start = i++;
      let escaped = false;
      for (; i < text.length && text.charCodeAt(i) !== QUOTE; i++) {
        if (text.charCodeAt(i) === BACKSLASH) {
          escaped = true;
          i++;
        }
      }
      const keys = open.at(-1);
      let next = i + 1;
      while (next < text.length && ' \t\n\r'.includes(text[next]!)) next++;
      if (!keys || text[next] !== ':') continue;
      // Unescape first: "a" and "\u0061" are the same key.
      const key = escaped ? unescaped(file, text.slice(start, i + 1)) : text.slice(start + 1, i);
      if (keys.has(key)) throw bad(file, `has the key ${short(key)} twice${open.length > 1 ? ` in ${short(owner)}` : ''}`);
      keys.add(key);
      if (keys.size > MAX_KEYS) throw bad(file, `has more than ${MAX_KEYS} names in its header`);
      if (open.length === 1) owner = key;
    }
  }
}

function unescaped(file: string, literal: string): string {
  try {
    return JSON.parse(literal);
  } catch (error) {
    throw bad(file, `has a header that is not valid JSON (${short((error as Error).message)})`, error);
  }
}

function parseMetadata(file: string, value: unknown): Map<string, string> {
  if (!isObject(value)) throw bad(file, 'has a __metadata__ that is not an object of strings');
  const map = new Map<string, string>();
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw bad(file, `has a __metadata__ whose ${short(key)} is not a string`);
    map.set(key, text);
  }
  return map;
}

function parseEntry(file: string, name: string, value: unknown): TensorEntry {
  const tensor = `tensor ${short(name)}`;
  if (!isObject(value)) throw bad(file, `describes ${tensor} by something that is not an object`);
  for (const key of Object.keys(value))
    if (!['dtype', 'shape', 'data_offsets'].includes(key)) throw bad(file, `gives ${tensor} an unknown property ${short(key)}`);
  // Only known keys remain, so the lines below read own properties.
  const { dtype, shape, data_offsets: offsets } = value as { dtype?: unknown; shape?: unknown; data_offsets?: unknown };
  if (!isDtype(dtype))
    throw new CheckpointError(
      `${file} stores ${tensor} as ${show(dtype)}; convert it to one of ${Object.keys(DTYPE_BYTES).join(', ')}.`,
    );
  if (!Array.isArray(shape) || !shape.every(isSize))
    throw bad(file, `gives ${tensor} the shape ${show(shape)}, not a list of whole numbers`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize) || offsets[0] > offsets[1])
    throw bad(file, `gives ${tensor} the data_offsets ${show(offsets)}, not [begin, end]`);
  // Count a dimension of 0 as 1, so that it cannot hide an overflow of the others.
  const bytes = shape.reduce((product: number, d: number) => product * (d || 1), DTYPE_BYTES[dtype]);
  if (!Number.isSafeInteger(bytes)) throw bad(file, `gives ${tensor} the shape ${show(shape)}, larger than any file`);
  const [begin, end] = offsets as [number, number];
  const needed = shape.includes(0) ? 0 : bytes;
  if (end - begin !== needed)
    throw bad(file, `gives ${tensor} ${end - begin} bytes, and ${dtype} ${show(shape)} takes ${needed}`);
  return { dtype, shape, begin, end };
}

/** Checks that tensors in file order follow each other without overlaps or gaps and fill the `available` bytes. */
function checkLayout(file: string, entries: readonly [string, TensorEntry][], available: number): void {
  let at = 0;
  let before = 'the header';
  for (const [name, { begin, end }] of entries) {
    if (begin < at) throw bad(file, `has tensor ${short(name)} overlapping ${before} (it begins at ${begin}, before ${at})`);
    if (begin > at) throw bad(file, `has a hole of ${begin - at} bytes between ${before} and tensor ${short(name)}`);
    at = end;
    before = `tensor ${short(name)}`;
  }
  if (available < at) {
    const cut = entries.find(([, e]) => e.end > available)!;
    throw bad(file, `is cut off: ${at - available} of its ${at} data bytes are missing, from tensor ${short(cut[0])} on`);
  }
  if (available > at && available !== Number.POSITIVE_INFINITY)
    throw bad(file, `has ${available - at} bytes after its last tensor (${before}) that belong to nothing`);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && !Object.is(value, -0);
}

/** Shortens text of a header, which may be megabytes long, for a message. */
function short(text: string): string {
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}

function show(value: unknown): string {
  return value === undefined ? 'nothing' : short(JSON.stringify(value));
}

/** The error for an impossible header length. Recognises other kinds of files by their first bytes. */
function foreign(file: string, start: Uint8Array, length: bigint): CheckpointError {
  const text = String.fromCharCode(...start);
  if (/^\s*</.test(text))
    return bad(file, 'is a web page, not a safetensors file; its server may ask for a login or another URL');
  if (text.startsWith('version ')) return bad(file, 'is only the Git LFS pointer of a file: run `git lfs pull`');
  if (text.startsWith('PK')) return bad(file, 'is a zip archive, such as a PyTorch checkpoint: convert it to safetensors');
  if (/^\s*[{[]/.test(text)) return bad(file, 'is JSON, not a safetensors file; pass model.safetensors');
  return bad(file, `gives its header ${length} bytes, more than the ${MAX_HEADER} that are read`);
}

function bad(file: string, what: string, cause?: unknown): CheckpointError {
  return new CheckpointError(`${file} ${what}; the file is damaged or no safetensors file: download or save it again.`, {
    cause,
  });
}
