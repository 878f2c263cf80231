/** BMP of Windows and OS/2, without compression: 1 to 32 bits, with or without bit masks. Run lengths (RLE) are not supported. */
import { IoError } from '../../core/errors.js';
import { checkPixels, composite, type DecodeOptions, damaged, hasText, type ImageFormat, type RgbImage } from './format.js';

export const bmp: ImageFormat = {
  name: 'BMP',
  extensions: ['bmp'],
  // A text may begin with 'BM' too, so check more than that.
  test: (bytes) => hasText(bytes, 0, 'BM') && bytes.length > 26 && bytes[15] === 0 && bytes[16] === 0,
  decode: decodeBmp,
};

/** Masks of red, green, blue and opacity for files without their own. */
const MASKS: Record<number, readonly [number, number, number, number]> = {
  16: [0x7c00, 0x3e0, 0x1f, 0],
  24: [0xff0000, 0xff00, 0xff, 0],
  32: [0xff0000, 0xff00, 0xff, 0],
};
const BITFIELDS = 3;
const ALPHA_BITFIELDS = 6;

async function decodeBmp(bytes: Uint8Array, name = 'the image', options: DecodeOptions = {}): Promise<RgbImage> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    const header = view.getUint32(14, true);
    const old = header === 12;
    const width = old ? view.getUint16(18, true) : view.getInt32(18, true);
    const signed = old ? view.getUint16(20, true) : view.getInt32(22, true);
    const height = Math.abs(signed);
    const depth = view.getUint16(old ? 24 : 28, true);
    const compression = old ? 0 : view.getUint32(30, true);
    if (width < 1 || height < 1) throw damaged('BMP', name, `its size is ${width}×${signed}`);
    const masked = compression === BITFIELDS || compression === ALPHA_BITFIELDS;
    if (![1, 4, 8, 16, 24, 32].includes(depth) || (compression !== 0 && !(masked && depth >= 16)))
      throw new IoError(
        `${name} is a BMP file of ${depth} bits with compression ${compression}, which cannot be read; save it as PNG.`,
      );
    checkPixels(width, height, name, options);
    const start = view.getUint32(10, true);
    const rowBytes = Math.ceil((width * depth) / 32) * 4;
    if (start + rowBytes * height > bytes.length)
      throw damaged('BMP', name, `${bytes.length} bytes cannot hold ${width}×${height} pixels of ${depth} bits`);
    const rgba = new Uint8Array(width * height * 4);
    // Rows go from bottom to top unless the height is negative.
    const row = (y: number) => start + (signed < 0 ? y : height - 1 - y) * rowBytes;
    if (depth <= 8) {
      const colours = { at: 14 + header + (masked && header === 40 ? 12 : 0), bytes: old ? 3 : 4 };
      for (let y = 0, o = 0; y < height; y++)
        for (let x = 0; x < width; x++, o += 4) {
          const bit = x * depth;
          const index = (bytes[row(y) + (bit >> 3)]! >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
          const at = colours.at + index * colours.bytes;
          if (at + 3 > start) throw damaged('BMP', name, `colour ${index} is not in its palette`);
          rgba.set([bytes[at + 2]!, bytes[at + 1]!, bytes[at]!, 255], o);
        }
    } else {
      // The masks follow a header of 40 bytes, or are part of a longer one.
      const given = masked ? [54, 58, 62, 66].map((at) => view.getUint32(at, true)) : undefined;
      if (given && header < 56 && compression === BITFIELDS) given[3] = 0;
      const masks = given ?? MASKS[depth]!;
      const channels = masks.map(channel);
      for (let y = 0, o = 0; y < height; y++)
        for (let x = 0; x < width; x++) {
          const at = row(y) + (x * depth) / 8;
          const high = depth === 32 ? bytes[at + 3]! * 2 ** 24 : 0;
          const value = (bytes[at]! | (bytes[at + 1]! << 8) | (depth > 16 ? bytes[at + 2]! << 16 : 0)) + high;
          for (let c = 0; c < 4; c++) rgba[o++] = masks[c] ? channels[c]!(value) : 255;
        }
    }
    return { width, height, data: composite(rgba, options.background) };
  } catch (error) {
    if (error instanceof RangeError) throw damaged('BMP', name, 'it ends inside its header', error);
    throw error;
  }
}

/** Extracts the bits of a mask and scales them to a byte. */
function channel(mask: number): (value: number) => number {
  if (mask === 0) return () => 0;
  const shift = 31 - Math.clz32(mask & -mask);
  const max = mask >>> shift;
  return (value) => Math.round((((value & mask) >>> shift) * 255) / max);
}
