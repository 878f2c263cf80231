/**
 * PNG (w3.org/TR/png-3). Decoded here and not by fast-png, which inflates without limit, reads ancillary chunks that are not
 * needed, and misreads interlaced images below 8 bits. png_encode.ts encodes.
 */
import { IoError } from '../../core/errors.js';
import { inflated, joined } from '../inflate.js';
import {
  checkPixels,
  composite,
  type DecodeOptions,
  damaged,
  hasText,
  type ImageFormat,
  type RgbImage,
  uint32,
} from './format.js';
import { encodePng } from './png_encode.js';

const SIGNATURE = '\x89PNG\r\n\x1a\n';
/** Samples per pixel by colour type: grey, unused, RGB, palette, grey + alpha, unused, RGBA. */
const CHANNELS = [1, 0, 3, 1, 2, 0, 4];
const DEPTHS = [[1, 2, 4, 8, 16], [], [8, 16], [1, 2, 4, 8], [8, 16], [], [8, 16]];
/** The passes of Adam7: first column, first row, distance between columns, distance between rows. */
const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

interface Header {
  width: number;
  height: number;
  /** Bits per sample. */
  depth: number;
  /** Colour type: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha. */
  kind: number;
  interlaced: boolean;
}

export const png: ImageFormat = {
  name: 'PNG',
  extensions: ['png'],
  test: (bytes) => hasText(bytes, 0, SIGNATURE),
  decode: decodePng,
  encode: encodePng,
};

/**
 * Decodes a PNG of any kind to RGB bytes. 16-bit values are rounded to 8 bits, and transparent pixels are composited over
 * `background`. Profiles, texts and other ancillary chunks are ignored, even if damaged. Throws IoError for a file that is not a
 * PNG or is damaged.
 */
export async function decodePng(bytes: Uint8Array, name = 'the image', options: DecodeOptions = {}): Promise<RgbImage> {
  if (!png.test(bytes)) throw new IoError(`${name} is not a PNG file; convert it to PNG.`);
  const header = parseHeader(bytes, name);
  checkPixels(header.width, header.height, name, options);
  const { idat, palette, transparency } = readChunks(bytes, name, header);
  const passes = layout(header);
  const size = passes.reduce((sum, { bytes }) => sum + bytes, 0);
  const lines = await inflate(idat, size, name);
  const { width, height } = header;
  const rgba = new Uint8Array(width * height * 4);
  let at = 0;
  for (const pass of passes) {
    const raw = lines.subarray(at, at + pass.bytes);
    at += pass.bytes;
    unfilter(raw, pass.rowBytes, Math.max(1, (header.depth * CHANNELS[header.kind]!) >> 3), name);
    expand(raw, pass, header, palette, transparency, rgba, name);
  }
  return { width, height, data: composite(rgba, options.background) };
}

function parseHeader(bytes: Uint8Array, name: string): Header {
  if (bytes.length < 33 || uint32(bytes, 8) !== 13 || !hasText(bytes, 12, 'IHDR')) throw damaged('PNG', name, 'it has no IHDR');
  const [width, height, depth, kind] = [uint32(bytes, 16), uint32(bytes, 20), bytes[24]!, bytes[25]!];
  if (width === 0 || height === 0) throw damaged('PNG', name, `its size is ${width}×${height}`);
  if (!CHANNELS[kind]) throw damaged('PNG', name, `there is no colour type ${kind}`);
  if (!DEPTHS[kind]!.includes(depth)) throw damaged('PNG', name, `colour type ${kind} has no depth of ${depth} bits`);
  const [compression, filter, interlace] = bytes.subarray(26, 29);
  if (compression !== 0 || filter !== 0 || interlace! > 1)
    throw damaged('PNG', name, `its methods of compression, filters and interlacing are ${[compression, filter, interlace]}`);
  // Deflate expands by a factor of at most 1032.
  if (Math.ceil((width * depth * CHANNELS[kind]) / 8) * height > bytes.length * 1032)
    throw damaged('PNG', name, `${bytes.length} bytes cannot hold ${width}×${height} pixels`);
  if (uint32(bytes, 29) !== crc32(bytes.subarray(12, 29))) throw damaged('PNG', name, 'the checksum of IHDR is wrong');
  return { width, height, depth, kind, interlaced: interlace === 1 };
}

/** The chunks that the pixels depend on. A missing IEND is tolerated. Ancillary chunks other than tRNS are skipped unread. */
function readChunks(bytes: Uint8Array, name: string, { kind, depth }: Header) {
  const idat: Uint8Array[] = [];
  let palette: Uint8Array | undefined;
  let transparency: Uint8Array | undefined;
  for (let at = 33; at + 8 <= bytes.length; ) {
    const length = uint32(bytes, at);
    const [from, to] = [at + 8, at + 8 + length];
    const type = String.fromCharCode(...bytes.subarray(at + 4, from));
    if (type === 'IEND') break;
    const cut = to + 4 > bytes.length;
    const data = bytes.subarray(from, to);
    const sound = () => uint32(bytes, to) === crc32(bytes.subarray(at + 4, to));
    if (type === 'IDAT' || type === 'PLTE') {
      if (cut) throw damaged('PNG', name, `it ends inside ${type}`);
      if (!sound()) throw damaged('PNG', name, `the checksum of ${type} is wrong`);
      if (type === 'IDAT') idat.push(data);
      else palette = data;
    } else if (type === 'tRNS' && !cut && sound()) transparency = data;
    else if (/^[A-Z]/.test(type)) throw damaged('PNG', name, `it needs a chunk ${JSON.stringify(type)}, which is unknown`);
    at = to + 4;
  }
  if (idat.length === 0) throw damaged('PNG', name, 'it has no pixels');
  if (kind === 3 && !palette) throw damaged('PNG', name, 'it has no palette');
  if (palette && (palette.length % 3 !== 0 || (kind === 3 && palette.length > 3 * 2 ** depth)))
    throw damaged('PNG', name, `its palette has ${palette.length} bytes`);
  return { idat, palette, transparency };
}

interface Pass {
  columns: number;
  rows: number;
  /** First column, first row, distance between columns, distance between rows. */
  place: readonly [number, number, number, number];
  /** Bytes of a row, including the byte of its filter. */
  rowBytes: number;
  bytes: number;
}

function layout({ width, height, depth, kind, interlaced }: Header): Pass[] {
  return (interlaced ? ADAM7 : [[0, 0, 1, 1] as const]).flatMap((place) => {
    const [x, y, dx, dy] = place;
    const columns = Math.ceil(Math.max(0, width - x) / dx);
    const rows = Math.ceil(Math.max(0, height - y) / dy);
    if (columns === 0 || rows === 0) return [];
    const rowBytes = 1 + Math.ceil((columns * depth * CHANNELS[kind]!) / 8);
    return [{ columns, rows, place, rowBytes, bytes: rowBytes * rows }];
  });
}

/** Inflates exactly `size` bytes. Excess data is never produced. */
async function inflate(idat: readonly Uint8Array[], size: number, name: string): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let have = 0;
  try {
    for await (const piece of inflated(idat, 'deflate')) {
      pieces.push(piece);
      have += piece.length;
      if (have >= size) break;
    }
  } catch (error) {
    throw damaged('PNG', name, `its pixels cannot be decompressed (${reason(error)})`, error);
  }
  if (have < size) throw damaged('PNG', name, `its pixels take ${size} bytes and it holds ${have}`);
  return joined(pieces, size);
}

const reason = (error: unknown) => (error as { cause?: Error }).cause?.message ?? (error as Error).message;

/**
 * Undoes the filter of each row in place. `step` is the distance in bytes between a sample and the same sample of the next pixel.
 */
function unfilter(raw: Uint8Array, rowBytes: number, step: number, name: string): void {
  for (let start = 0; start < raw.length; start += rowBytes) {
    const filter = raw[start]!;
    if (filter > 4) throw damaged('PNG', name, `there is no filter ${filter}`);
    if (filter === 0) continue;
    for (let i = start + 1; i < start + rowBytes; i++) {
      const left = i - step > start ? raw[i - step]! : 0;
      const above = start > 0 ? raw[i - rowBytes]! : 0;
      const corner = start > 0 && i - step > start ? raw[i - rowBytes - step]! : 0;
      if (filter === 1) raw[i]! += left;
      else if (filter === 2) raw[i]! += above;
      else if (filter === 3) raw[i]! += (left + above) >> 1;
      else raw[i]! += paeth(left, above, corner);
    }
  }
}

function paeth(left: number, above: number, corner: number): number {
  const [a, b, c] = [Math.abs(above - corner), Math.abs(left - corner), Math.abs(left + above - 2 * corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? above : corner;
}

/** Writes the pixels of a pass to their positions in `rgba`. */
function expand(
  raw: Uint8Array,
  { columns, rows, place: [x0, y0, dx, dy], rowBytes }: Pass,
  { width, depth, kind }: Header,
  palette: Uint8Array | undefined,
  transparency: Uint8Array | undefined,
  rgba: Uint8Array,
  name: string,
): void {
  const channels = CHANNELS[kind]!;
  const max = 2 ** depth - 1;
  const sample = (row: number, i: number): number => {
    if (depth === 8) return raw[row + i]!;
    if (depth === 16) return (raw[row + 2 * i]! << 8) | raw[row + 2 * i + 1]!;
    const bit = i * depth;
    return (raw[row + (bit >> 3)]! >> (8 - depth - (bit & 7))) & max;
  };
  // For grey and RGB, tRNS contains the one value that is transparent, with 2 bytes for each sample.
  const key = (kind === 0 || kind === 2) && transparency && transparency.length >= 2 * channels ? transparency : undefined;
  for (let y = 0; y < rows; y++) {
    const row = y * rowBytes + 1;
    let o = ((y0 + y * dy) * width + x0) * 4;
    for (let x = 0; x < columns; x++, o += 4 * dx) {
      const first = sample(row, x * channels);
      if (kind === 3) {
        if (3 * first >= palette!.length)
          throw damaged('PNG', name, `colour ${first} is not in the palette of ${palette!.length / 3}`);
        rgba.set(palette!.subarray(3 * first, 3 * first + 3), o);
        rgba[o + 3] = transparency?.[first] ?? 255;
        continue;
      }
      let transparent = key !== undefined;
      for (let c = 0; c < 3; c++) {
        const value = channels < 3 || c === 0 ? first : sample(row, x * channels + c);
        rgba[o + c] = Math.round((value * 255) / max);
        if (key && c < channels && value !== ((key[2 * c]! << 8) | key[2 * c + 1]!)) transparent = false;
      }
      if (kind >= 4) rgba[o + 3] = Math.round((sample(row, x * channels + channels - 1) * 255) / max);
      else rgba[o + 3] = transparent ? 0 : 255;
    }
  }
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

function crc32(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) c = CRC[(c ^ bytes[i]!) & 255]! ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}
