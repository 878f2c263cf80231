/** JPEG to RGB bytes: by the browser where it can, else by jpeg-js. The two may differ by a few of 255 in fine colour detail. */
import { IoError } from '../core/errors.js';
import type { RgbImage } from './image.js';

export const isJpeg = (bytes: Uint8Array) => bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff;

/** Decodes a JPEG, turned upright as its EXIF orientation says. Throws IoError, naming the file, when it is damaged. */
export async function decodeJpeg(bytes: Uint8Array, name = 'the image'): Promise<RgbImage> {
  try {
    return (await byCanvas(bytes)) ?? (await byLibrary(bytes));
  } catch (error) {
    throw new IoError(`${name} is a damaged JPEG file: ${(error as Error).message}; save or download it again.`, {
      cause: error,
    });
  }
}

/** undefined where there is no canvas to read pixels from (Node, Deno). */
async function byCanvas(bytes: Uint8Array): Promise<RgbImage | undefined> {
  if (typeof createImageBitmap !== 'function' || typeof OffscreenCanvas !== 'function') return undefined;
  const blob = new Blob([bytes as Uint8Array<ArrayBuffer>], { type: 'image/jpeg' });
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: 'none' });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  context?.drawImage(bitmap, 0, 0);
  bitmap.close();
  if (!context) return undefined;
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height * 3);
  for (let i = 0, o = 0; o < data.length; i += 4) {
    data[o++] = rgba[i]!;
    data[o++] = rgba[i + 1]!;
    data[o++] = rgba[i + 2]!;
  }
  return { width, height, data };
}

async function byLibrary(bytes: Uint8Array): Promise<RgbImage> {
  // A CommonJS package: not every loader finds its names.
  const { default: jpeg } = await import('jpeg-js');
  const image = jpeg.decode(bytes, { useTArray: true, formatAsRGBA: false, tolerantDecoding: false, maxMemoryUsageInMB: 2048 });
  const { exifBuffer } = image as { exifBuffer?: Uint8Array };
  return upright({ width: image.width, height: image.height, data: new Uint8Array(image.data) }, orientation(exifBuffer));
}

/** EXIF tag 0x0112, 1 to 8, of a buffer that holds the TIFF header after one or two zero bytes; 1 when there is none. */
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

/** Undoes an EXIF orientation: 2 and 4 mirror, 3 turns by 180°, 5 to 8 swap rows and columns. */
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
