/** How much of the sharpness of pictures their reconstructions keep. */
import { greyOf } from '../data/jitter.js';

/** Sums over pictures; `sharpnessOf` makes shares of them. */
export interface SharpnessSums {
  pictures: number;
  /** Squared errors, each the mean of a picture. */
  error: number;
  /** Slopes where the original has its edges: of the reconstruction, of the original. */
  edges: [number, number];
  /** Squares of the Laplacian: of the reconstruction, of the original. */
  detail: [number, number];
  /** Mean slopes where the original is flat: of the reconstruction, of the original. */
  flat: [number, number];
}

export const noSharpness = (): SharpnessSums => ({ pictures: 0, error: 0, edges: [0, 0], detail: [0, 0], flat: [0, 0] });

/** The tenth of the pixels with the largest slopes are edges. */
const EDGES = 0.1;
/** The half of the pixels with the smallest slopes are flat. */
const FLAT = 0.5;

/** Adds a picture and its reconstruction to the sums. Both are [size, size, 3] of values from -1 to 1. */
export function addSharpness(sums: SharpnessSums, original: ArrayLike<number>, copy: ArrayLike<number>, size: number): void {
  let error = 0;
  for (let i = 0; i < original.length; i++) error += (original[i]! - copy[i]!) ** 2;
  sums.pictures++;
  sums.error += error / original.length;
  const [wanted, got] = [luminance(original, size), luminance(copy, size)];
  const [want, have] = [slopes(wanted, size), slopes(got, size)];
  const order = [...want.keys()].sort((a, b) => want[b]! - want[a]!);
  const edges = order.slice(0, Math.round(EDGES * order.length));
  const flat = order.slice(Math.round((1 - FLAT) * order.length));
  const total = (of: Float64Array, at: number[]) => at.reduce((sum, i) => sum + of[i]!, 0);
  for (const [k, slope, light] of [
    [0, have, got],
    [1, want, wanted],
  ] as const) {
    sums.edges[k] += total(slope, edges);
    sums.detail[k] += laplacian(light, size);
    sums.flat[k] += total(slope, flat) / flat.length;
  }
}

/**
 * Mean squared error; the slopes at edges and the energy of the Laplacian as shares of the originals', below 1 if the reconstructions are
 * blurred; and the mean slopes of reconstructions and originals where these are flat, which noise raises.
 */
export const sharpnessOf = ({ pictures, error, edges, detail, flat }: SharpnessSums) => ({
  mse: error / pictures,
  edges: edges[0] / edges[1],
  detail: detail[0] / detail[1],
  flat: flat[0] / pictures,
  flatOriginal: flat[1] / pictures,
});

function luminance(rgb: ArrayLike<number>, size: number): Float64Array {
  return Float64Array.from({ length: size * size }, (_, i) => greyOf(rgb[3 * i]!, rgb[3 * i + 1]!, rgb[3 * i + 2]!));
}

/** Magnitudes of Sobel's gradients of the pixels that are not at the border, per pixel of distance. */
function slopes(light: Float64Array, size: number): Float64Array {
  const inner = size - 2;
  return Float64Array.from({ length: inner * inner }, (_, k) => {
    const i = (Math.floor(k / inner) + 1) * size + (k % inner) + 1;
    const across = (row: number) => light[i + row + 1]! - light[i + row - 1]!;
    const down = (column: number) => light[i + size + column]! - light[i - size + column]!;
    return Math.hypot(across(-size) + 2 * across(0) + across(size), down(-1) + 2 * down(0) + down(1)) / 8;
  });
}

/** Sum of the squares of the Laplacian, over the pixels that are not at the border. */
function laplacian(light: Float64Array, size: number): number {
  let sum = 0;
  for (let y = 1; y < size - 1; y++)
    for (let x = 1; x < size - 1; x++) {
      const i = y * size + x;
      sum += (4 * light[i]! - light[i - 1]! - light[i + 1]! - light[i - size]! - light[i + size]!) ** 2;
    }
  return sum;
}
