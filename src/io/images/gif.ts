/** GIF (w3.org/Graphics/GIF/spec-gif89a.txt). Decodes the first picture. */
import {
  checkBackground,
  checkPixels,
  type DecodeOptions,
  damaged,
  hasText,
  type ImageFormat,
  type RgbImage,
  WHITE,
} from './format.js';

export const gif: ImageFormat = {
  name: 'GIF',
  extensions: ['gif'],
  test: (bytes) => hasText(bytes, 0, 'GIF87a') || hasText(bytes, 0, 'GIF89a'),
  decode: decodeGif,
};

const EXTENSION = 0x21;
const PICTURE = 0x2c;
/** The extension that says which colour is transparent. */
const CONTROL = 0xf9;
/** The rows of interlaced pictures: the first one of each pass, and their distance. */
const PASSES = [
  [0, 8],
  [4, 8],
  [2, 4],
  [1, 2],
] as const;

async function decodeGif(bytes: Uint8Array, name = 'the image', options: DecodeOptions = {}): Promise<RgbImage> {
  const cut = () => damaged('GIF', name, 'it ends before its first picture does');
  const uint8 = (at: number) => {
    if (at >= bytes.length) throw cut();
    return bytes[at]!;
  };
  const uint16 = (at: number) => uint8(at) | (uint8(at + 1) << 8);
  const hasColours = (flags: number) => (flags & 0x80) !== 0;
  const coloursBytes = (flags: number) => (hasColours(flags) ? 3 * 2 ** ((flags & 7) + 1) : 0);
  /** The data of the blocks from `at`, each after its length, to an empty one; and where they end. */
  const blocks = (at: number) => {
    const parts: Uint8Array[] = [];
    for (; uint8(at) > 0; at += 1 + bytes[at]!) parts.push(bytes.subarray(at + 1, at + 1 + bytes[at]!));
    return { parts, end: at + 1 };
  };

  const screenFlags = uint8(10);
  let transparent = -1;
  for (let at = 13 + coloursBytes(screenFlags); ; ) {
    const kind = uint8(at);
    if (kind === EXTENSION) {
      if (uint8(at + 1) === CONTROL && uint8(at + 2) >= 4 && uint8(at + 3) & 1) transparent = uint8(at + 6);
      at = blocks(at + 2).end;
    } else if (kind === PICTURE) {
      const [left, top, w, h, flags] = [uint16(at + 1), uint16(at + 3), uint16(at + 5), uint16(at + 7), uint8(at + 9)];
      if (w === 0 || h === 0) throw damaged('GIF', name, `its picture is ${w}×${h}`);
      // Programs enlarge a screen that the first picture does not fit on.
      const [width, height] = [Math.max(uint16(6), left + w), Math.max(uint16(8), top + h)];
      checkPixels(width, height, name, options);
      const place = hasColours(flags) ? at + 10 : 13;
      const size = coloursBytes(hasColours(flags) ? flags : screenFlags);
      const colours = bytes.subarray(place, place + size);
      if (colours.length < size) throw cut();
      const data = at + 10 + coloursBytes(flags);
      const indices = decompress(blocks(data + 1).parts, uint8(data), w * h, name);
      // What the picture does not cover is transparent.
      const { background = WHITE } = options;
      checkBackground(background);
      const out = new Uint8Array(width * height * 3);
      for (let o = 0; o < out.length; o += 3) out.set(background, o);
      let from = 0;
      for (const [first, step] of flags & 0x40 ? PASSES : [[0, 1] as const])
        for (let y = first; y < h; y += step)
          for (let x = 0, o = ((top + y) * width + left) * 3; x < w; x++, o += 3) {
            const index = indices[from++]!;
            if (index === transparent) continue;
            if (3 * index >= size) throw damaged('GIF', name, `colour ${index} is not among its ${size / 3}`);
            for (let c = 0; c < 3; c++) out[o + c] = colours[3 * index + c]!;
          }
      return { width, height, data: out };
    } else throw damaged('GIF', name, kind === 0x3b ? 'it has no picture' : `it has a block of the unknown kind ${kind}`);
  }
}

/** Undoes the LZW compression of `count` bytes. What follows them is ignored. */
function decompress(parts: readonly Uint8Array[], bits: number, count: number, name: string): Uint8Array {
  if (bits < 1 || bits > 8) throw damaged('GIF', name, `its codes begin with ${bits} bits`);
  // A code adds at most one string, so that the longest string has 4096 bytes.
  const coded = parts.reduce((sum, part) => sum + part.length, 0);
  if (count > ((coded * 8) / (bits + 1)) * 4096) throw damaged('GIF', name, `${coded} bytes cannot hold ${count} pixels`);
  const out = new Uint8Array(count);
  const [clear, end] = [1 << bits, (1 << bits) + 1];
  // Code c stands for the string of code prefix[c] and the byte last[c]; first[c] is its first byte, length[c] its length.
  const prefix = new Uint16Array(4096);
  const last = Uint8Array.from({ length: 4096 }, (_, c) => c & 255);
  const first = last.slice();
  const length = new Uint16Array(4096).fill(1, 0, clear);
  const short = () => damaged('GIF', name, `its picture has ${count} pixels, of which ${have} are there`);
  let [next, size, before, have, buffer, held] = [end + 1, bits + 1, -1, 0, 0, 0];
  for (const part of parts)
    for (const byte of part) {
      buffer |= byte << held;
      for (held += 8; held >= size; ) {
        const code = buffer & ((1 << size) - 1);
        buffer >>>= size;
        held -= size;
        if (code === clear) {
          [next, size, before] = [end + 1, bits + 1, -1];
          continue;
        }
        if (code === end) throw short();
        if (code > next || (code >= clear && before < 0))
          throw damaged('GIF', name, `its picture has the code ${code} before it is defined`);
        if (before >= 0 && next < 4096) {
          // A code that is just being defined begins and ends with the same byte.
          prefix[next] = before;
          last[next] = first[code === next ? before : code]!;
          first[next] = first[before]!;
          length[next] = length[before]! + 1;
          next++;
          if (next === 1 << size && size < 12) size++;
        }
        const to = have + length[code]!;
        for (let c = code, o = to - 1; o >= have; o--, c = prefix[c]!) if (o < count) out[o] = last[c]!;
        have = to;
        if (have >= count) return out;
        before = code;
      }
    }
  throw short();
}
