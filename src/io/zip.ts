/**
 * Reads zip archives by byte ranges: first the central directory at the end of the file, then single entries, so that an archive
 * is never in memory as a whole. Source: PKWARE's APPNOTE.TXT, including the 64-bit extension. Sizes come from the central
 * directory. Local headers may leave them to a data descriptor, so they only show where an entry's bytes begin.
 */
import { CheckpointError, IoError } from '../core/errors.js';
import type { ByteSource } from './bytes.js';

/** One file in a zip archive. */
export interface ZipEntry {
  readonly name: string;
  /** 0 if the entry is not compressed, 8 if it is deflated. */
  readonly method: number;
  /** Bytes in the archive. */
  readonly packed: number;
  /** Bytes when unpacked. */
  readonly size: number;
  readonly crc: number;
  /** Offset of the local header. */
  readonly header: number;
}

const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
/** Largest central directory that is read (about 200,000 entries). No checkpoint has more. */
const MAX_DIRECTORY = 2 ** 24;

/**
 * The entries of an archive by name, in file order. Throws CheckpointError with the file's name if it is not a zip archive, is
 * damaged or is encrypted.
 */
export async function readZip(source: ByteSource, signal?: AbortSignal): Promise<Map<string, ZipEntry>> {
  const { name: file, size } = source;
  if (!Number.isFinite(size))
    throw new CheckpointError(`${file}: the server does not say how long this file is; download it and open the local copy.`);
  const end = await findEnd(source, signal);
  if (end.count > MAX_DIRECTORY / 46 || end.length > MAX_DIRECTORY)
    throw bad(file, `has a directory of ${end.length} bytes, more than the ${MAX_DIRECTORY} that are read`);
  if (end.offset + end.length > size) throw bad(file, 'has a directory that lies beyond the end of the file');
  const bytes = await source.read(end.offset, end.length, signal);
  const entries: ZipEntry[] = [];
  const names = new Set<string>();
  for (let at = 0; entries.length < end.count; ) {
    const { entry, next } = centralEntry(file, bytes, at);
    if (names.has(entry.name)) throw bad(file, `has two entries ${JSON.stringify(short(entry.name))}`);
    if (entry.header + 30 + entry.packed > end.offset)
      throw bad(file, `has an entry ${JSON.stringify(short(entry.name))} that lies beyond its data`);
    names.add(entry.name);
    entries.push(entry);
    at = next;
  }
  entries.sort((a, b) => a.header - b.header);
  return new Map(entries.map((entry) => [entry.name, entry]));
}

/** The offset of an entry's bytes in the file. */
export async function entryOffset(source: ByteSource, entry: ZipEntry, signal?: AbortSignal): Promise<number> {
  const bytes = await source.read(entry.header, 30, signal);
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== LOCAL)
    throw bad(source.name, `has no entry where its directory places ${JSON.stringify(short(entry.name))}`);
  const offset = entry.header + 30 + view.getUint16(26, true) + view.getUint16(28, true);
  if (offset + entry.packed > source.size) throw bad(source.name, `is cut off inside ${JSON.stringify(short(entry.name))}`);
  return offset;
}

/** The unpacked bytes of an entry of at most `most` bytes, after checking their CRC-32. Throws CheckpointError with the name. */
export async function readEntry(source: ByteSource, entry: ZipEntry, most: number, signal?: AbortSignal): Promise<Uint8Array> {
  const shown = JSON.stringify(short(entry.name));
  if (entry.size > most)
    throw bad(source.name, `has an entry ${shown} of ${entry.size} bytes, more than the ${most} that are read`);
  if (entry.packed > most + 2 ** 16) throw bad(source.name, `packs the ${entry.size} bytes of ${shown} into ${entry.packed}`);
  const packed = await source.read(await entryOffset(source, entry, signal), entry.packed, signal);
  const bytes = await unpack(source.name, entry, packed);
  if (bytes.length !== entry.size || crc32(bytes) !== entry.crc) throw bad(source.name, `has a damaged entry ${shown}`);
  return bytes;
}

async function unpack(file: string, entry: ZipEntry, packed: Uint8Array): Promise<Uint8Array> {
  if (entry.method === 0) return packed;
  const shown = JSON.stringify(short(entry.name));
  if (entry.method !== 8)
    throw bad(file, `packs ${shown} by the method ${entry.method}; only stored and deflated entries are read`);
  const { inflateSync } = await import('fflate').catch(noFflate);
  try {
    // The output has the size that the directory gives. Excess data is dropped without growing memory.
    return inflateSync(packed, { out: new Uint8Array(entry.size) });
  } catch (error) {
    throw bad(file, `has a damaged entry ${shown}`, error);
  }
}

/** Bundlers, Node and Deno find the package by its name; a page needs an import map. */
function noFflate(cause: unknown): never {
  throw new IoError(
    'Packed zip entries need the package fflate, which was not found; in a page without bundler name its address in an import map, ' +
      'elsewhere install fflate.',
    { cause },
  );
}

interface End {
  count: number;
  length: number;
  offset: number;
}

async function findEnd(source: ByteSource, signal: AbortSignal | undefined): Promise<End> {
  const { name: file, size } = source;
  // The end record takes the last 22 bytes, unless a comment of at most 65535 bytes follows it.
  const length = Math.min(size, 22 + 65535 + 20);
  const start = size - length;
  const bytes = await source.read(start, length, signal);
  const view = viewOf(bytes);
  for (let at = length - 22; at >= 0; at--) {
    if (view.getUint32(at, true) !== END || at + 22 + view.getUint16(at + 20, true) > length) continue;
    const end = {
      count: view.getUint16(at + 10, true),
      length: view.getUint32(at + 12, true),
      offset: view.getUint32(at + 16, true),
    };
    const is64 = at >= 20 && view.getUint32(at - 20, true) === LOCATOR64;
    if (!is64) {
      if (view.getUint16(at + 4, true) !== 0) throw bad(file, 'is one part of an archive of several files');
      return end;
    }
    const where = bigint(file, view, at - 12);
    if (where + 56 > start + at) throw bad(file, 'has a 64-bit directory beyond its end');
    const record = viewOf(await source.read(where, 56, signal));
    if (record.getUint32(0, true) !== END64) throw bad(file, 'has a damaged 64-bit directory');
    return { count: bigint(file, record, 32), length: bigint(file, record, 40), offset: bigint(file, record, 48) };
  }
  throw bad(file, 'has no zip directory at its end, as if it were cut off');
}

function centralEntry(file: string, bytes: Uint8Array, at: number): { entry: ZipEntry; next: number } {
  const view = viewOf(bytes);
  if (at + 46 > bytes.length || view.getUint32(at, true) !== CENTRAL) throw bad(file, 'has a damaged directory');
  const nameEnd = at + 46 + view.getUint16(at + 28, true);
  const extraEnd = nameEnd + view.getUint16(at + 30, true);
  const next = extraEnd + view.getUint16(at + 32, true);
  if (next > bytes.length) throw bad(file, 'has a damaged directory');
  const name = new TextDecoder().decode(bytes.subarray(at + 46, nameEnd));
  if (view.getUint16(at + 8, true) & 1)
    throw new CheckpointError(`${file} has an encrypted entry ${JSON.stringify(short(name))}; zip it without a password.`);
  // A field with the largest possible value stands for one in the 64-bit extra field. Those are in this order.
  const fields = [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)];
  for (let e = nameEnd; e + 4 <= extraEnd; ) {
    const size = view.getUint16(e + 2, true);
    if (view.getUint16(e, true) === 1) {
      let from = e + 4;
      for (let i = 0; i < fields.length; i++) {
        if (fields[i] !== 0xffffffff) continue;
        if (from + 8 > Math.min(e + 4 + size, extraEnd)) throw bad(file, 'has a damaged directory');
        fields[i] = bigint(file, view, from);
        from += 8;
      }
    }
    e += 4 + size;
  }
  const [size, packed, header] = fields as [number, number, number];
  const method = view.getUint16(at + 10, true);
  if (method === 0 && size !== packed) throw bad(file, `gives ${JSON.stringify(short(name))} two sizes, ${size} and ${packed}`);
  return { entry: { name, method, packed, size, crc: view.getUint32(at + 16, true), header }, next };
}

function bigint(file: string, view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  if (value > Number.MAX_SAFE_INTEGER) throw bad(file, `has a size of ${value} bytes in its directory`);
  return Number(value);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

let table: Uint32Array | undefined;

/** CRC-32 with the polynomial of zip files. */
export function crc32(bytes: Uint8Array): number {
  table ??= Uint32Array.from({ length: 256 }, (_, i) => {
    let c = i;
    for (let k = 0; k < 8; k++) c = (c >>> 1) ^ (c & 1 ? 0xedb88320 : 0);
    return c;
  });
  let crc = ~0;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ table[(crc ^ bytes[i]!) & 255]!;
  return ~crc >>> 0;
}

function short(text: string): string {
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}

function bad(file: string, what: string, cause?: unknown): CheckpointError {
  return new CheckpointError(`${file} ${what}; the zip archive is damaged or of an unknown kind: download or save it again.`, {
    cause,
  });
}
