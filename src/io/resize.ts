/**
 * Resizes and crops images of RGB bytes. An output pixel is a mean of source pixels with triangular weights: linear interpolation
 * when enlarging; when shrinking, the triangle is widened by the ratio to prevent aliasing, like Pillow's BILINEAR.
 */
import { IoError } from '../core/errors.js';
import type { RgbImage } from './images/index.js';

/** For each output position: the first source position and the weights, whose sum is 1. */
function taps(from: number, to: number): { first: number; weights: Float64Array }[] {
  const ratio = from / to;
  const reach = Math.max(1, ratio);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * ratio;
    const first = Math.max(0, Math.floor(centre - reach + 0.5));
    const last = Math.min(from, Math.floor(centre + reach + 0.5));
    const weights = Float64Array.from({ length: last - first }, (_, k) =>
      Math.max(0, 1 - Math.abs((first + k + 0.5 - centre) / reach)),
    );
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((w) => w / sum) };
  });
}

/** Resizes an image to width × height. */
export function resize(image: RgbImage, width: number, height: number): RgbImage {
  const { width: w, height: h, data } = image;
  if (w === width && h === height) return image;
  const wide = new Float32Array(h * width * 3);
  for (const [x, { first, weights }] of taps(w, width).entries()) {
    for (let y = 0; y < h; y++) {
      let [r, g, b] = [0, 0, 0];
      let i = (y * w + first) * 3;
      for (const weight of weights) {
        r += weight * data[i++]!;
        g += weight * data[i++]!;
        b += weight * data[i++]!;
      }
      const o = (y * width + x) * 3;
      wide[o] = r;
      wide[o + 1] = g;
      wide[o + 2] = b;
    }
  }
  const rowSize = width * 3;
  const out = new Uint8Array(height * rowSize);
  const sum = new Float64Array(rowSize);
  for (const [y, { first, weights }] of taps(h, height).entries()) {
    sum.fill(0.5);
    weights.forEach((weight, k) => {
      const at = (first + k) * rowSize;
      for (let i = 0; i < rowSize; i++) sum[i]! += weight * wide[at + i]!;
    });
    // The sums started at 0.5, so truncation rounds. Weights are positive, so values stay within 0..255.
    for (let i = 0; i < rowSize; i++) out[y * rowSize + i] = sum[i]!;
  }
  return { width, height, data: out };
}

/** Largest ratio of the sides. Longer images have no useful square crop, and could fill the memory when enlarged. */
const MAX_RATIO = 16;

/** Resizes an image so that its shorter side is `side`. Throws IoError if the image is too long. */
export function resizeShorter(image: RgbImage, side: number, name: string): RgbImage {
  const { width, height } = image;
  const [short, long] = [Math.min(width, height), Math.max(width, height)];
  if (long > short * MAX_RATIO)
    throw new IoError(`${name} is ${width}×${height}, too long and thin to crop a square from; cut it into pieces.`);
  const other = Math.round((long * side) / short);
  return width < height ? resize(image, side, other) : resize(image, other, side);
}

/** A byte of a colour as a number in [-1, 1]. */
const COLOURS = Float32Array.from({ length: 256 }, (_, byte) => byte / 127.5 - 1);

/** Crops the square of `size` at (left, top) to floats [size, size, 3] in [-1, 1]. Mirrors it if `flip` is true. */
export function cropSquare(image: RgbImage, size: number, left: number, top: number, flip: boolean): Float32Array {
  const { width, data } = image;
  const out = new Float32Array(size * size * 3);
  const step = flip ? -3 : 3;
  for (let y = 0, o = 0; y < size; y++) {
    let from = ((top + y) * width + left + (flip ? size - 1 : 0)) * 3;
    for (let x = 0; x < size; x++, from += step, o += 3) {
      out[o] = COLOURS[data[from]!]!;
      out[o + 1] = COLOURS[data[from + 1]!]!;
      out[o + 2] = COLOURS[data[from + 2]!]!;
    }
  }
  return out;
}
