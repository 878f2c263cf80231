/** Data folders for the tests of this folder. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { encode as encodePng } from 'fast-png';
import jpeg from 'jpeg-js';
import { afterAll } from 'vitest';
import { FASHION_MNIST } from '../../scripts/data.mjs';

export { FASHION_MNIST };
export const NO_FASHION_MNIST = 'Fashion-MNIST is not here (Debian package dataset-fashion-mnist)';

export type Files = Record<string, Uint8Array | string>;

const made: string[] = [];
afterAll(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true });
});

/** A new temporary folder with these files, until the test file ends. */
export function folderOf(files: Files): string {
  const dir = mkdtempSync(join(tmpdir(), 'aim-data-'));
  made.push(dir);
  for (const [name, data] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), data);
  }
  return dir;
}

/** The same files as Files of a folder chosen in a browser. */
export function fileListOf(files: Files, root = 'root'): File[] {
  return Object.entries(files).map(([path, data]) => {
    const file = new File([data as BlobPart], path.split('/').at(-1)!);
    Object.defineProperty(file, 'webkitRelativePath', { value: `${root}/${path}` });
    return file;
  });
}

type Pixel = (x: number, y: number) => [number, number, number];

function rgb(width: number, height: number, pixel: Pixel, channels: 3 | 4): Uint8Array {
  const data = new Uint8Array(width * height * channels).fill(255);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) data.set(pixel(x, y), (y * width + x) * channels);
  return data;
}

export const png = (width: number, height: number, pixel: Pixel) =>
  encodePng({ width, height, data: rgb(width, height, pixel, 3), depth: 8, channels: 3 });

export const jpg = (width: number, height: number, pixel: Pixel, quality = 95): Uint8Array =>
  new Uint8Array(jpeg.encode({ width, height, data: rgb(width, height, pixel, 4) }, quality).data);

export const grey =
  (v: number): Pixel =>
  () => [v, v, v];

/** EXIF with an orientation, as JPEG and some WebP files have it. */
export function exifOf(orientation: number, little: boolean): number[] {
  const tiff = new DataView(new ArrayBuffer(26));
  tiff.setUint16(0, little ? 0x4949 : 0x4d4d);
  tiff.setUint16(2, 42, little);
  tiff.setUint32(4, 8, little);
  tiff.setUint16(8, 1, little);
  tiff.setUint16(10, 0x0112, little);
  tiff.setUint16(12, 3, little);
  tiff.setUint32(14, 1, little);
  tiff.setUint16(18, orientation, little);
  return [...new TextEncoder().encode('Exif\0\0'), ...new Uint8Array(tiff.buffer)];
}

/** A JPEG with an EXIF orientation (APP1 after SOI). */
export function oriented(bytes: Uint8Array, orientation: number, little: boolean): Uint8Array {
  const exif = exifOf(orientation, little);
  return Uint8Array.from([0xff, 0xd8, 0xff, 0xe1, 0, exif.length + 2, ...exif, ...bytes.subarray(2)]);
}

/** IDX bytes: magic, sizes, data. */
export function idx(shape: number[], data: ArrayLike<number>, magic = 0x0800 + shape.length): Uint8Array {
  const out = new Uint8Array(4 + 4 * shape.length + data.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, magic);
  shape.forEach((d, i) => {
    view.setUint32(4 + 4 * i, d);
  });
  out.set(data, 4 + 4 * shape.length);
  return out;
}

/** n images of 4×4, image i filled with i, labels i mod 3. */
export const idxSet = (n: number, prefix = 'train'): Files => ({
  [`${prefix}-images-idx3-ubyte`]: idx(
    [n, 4, 4],
    Uint8Array.from({ length: n * 16 }, (_, i) => i >> 4),
  ),
  [`${prefix}-labels-idx1-ubyte`]: idx(
    [n],
    Uint8Array.from({ length: n }, (_, i) => i % 3),
  ),
});
