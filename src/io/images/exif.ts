/** The orientation of photos (EXIF 2.32, tag 0x0112). */
import type { RgbImage } from './format.js';

/** The EXIF orientation (tag 0x0112), 1 to 8, of a TIFF header after one or two zero bytes. Returns 1 if there is none. */
export function orientation(exif: Uint8Array | undefined): number {
  if (!exif) return 1;
  const start = exif.findIndex((b) => b !== 0);
  if (start < 0) return 1;
  const view = new DataView(exif.buffer, exif.byteOffset + start, exif.length - start);
  const little = view.byteLength >= 8 && view.getUint16(0) === 0x4949;
  if (view.byteLength < 8 || view.getUint16(2, little) !== 42) return 1;
  const directory = view.getUint32(4, little);
  if (directory + 2 > view.byteLength) return 1;
  const count = view.getUint16(directory, little);
  for (let i = 0; i < count; i++) {
    const entry = directory + 2 + 12 * i;
    if (entry + 12 > view.byteLength) return 1;
    if (view.getUint16(entry, little) !== 0x0112) continue;
    const value = view.getUint16(entry + 8, little);
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

/** Undoes an EXIF orientation: 2 and 4 mirror, 3 rotates by 180°, 5 to 8 swap rows and columns. */
export function upright(image: RgbImage, how: number): RgbImage {
  if (how === 1) return image;
  const { width: w, height: h, data } = image;
  const swap = how >= 5;
  const [width, height] = swap ? [h, w] : [w, h];
  const flipX = [2, 3, 7, 8].includes(how);
  const flipY = [3, 4, 6, 7].includes(how);
  const out = new Uint8Array(data.length);
  for (let y = 0, o = 0; y < height; y++) {
    for (let x = 0; x < width; x++, o += 3) {
      const [a, b] = swap ? [y, x] : [x, y];
      const from = ((flipY ? h - 1 - b : b) * w + (flipX ? w - 1 - a : a)) * 3;
      out[o] = data[from]!;
      out[o + 1] = data[from + 1]!;
      out[o + 2] = data[from + 2]!;
    }
  }
  return { width, height, data: out };
}
