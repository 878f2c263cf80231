/**
 * The Kernel Inception Distance (Bińkowski et al. 2018): the unbiased squared maximum mean discrepancy under the polynomial
 * kernel (x·y/d + 1)³, averaged over random subsets.
 */
import { OptionError } from '../core/errors.js';
import { checkSeed, threefry2x32 } from '../core/random.js';
import { checkFeatures } from './frechet.js';
import { addProducts, matrix } from './linear_algebra.js';
import { last } from './precision_recall.js';

/** Options of `kernelDistance`. */
export interface KidOptions {
  /** Number of random subsets. Default 100. */
  subsets?: number;
  /** Images in a subset. Default 1000, or all if there are fewer. */
  subsetSize?: number;
  /** Determines the subsets. Default 0. */
  seed?: number;
}

/**
 * The mean and the standard deviation of the distance over the subsets. Throws OptionError for fewer than two images, for invalid
 * options and for values that are not finite, ShapeError for incomplete vectors.
 *
 * @param a Features [n, size].
 * @param b Features [m, size].
 * @param size Number of features of a vector.
 */
export function kernelDistance(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  size: number,
  options: KidOptions = {},
): { mean: number; std: number } {
  return last(kernelDistanceSteps(a, b, size, options));
}

/** The same in steps, one for each subset, between which a caller may stop or show the share done, which is yielded. */
export function* kernelDistanceSteps(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  size: number,
  { subsets = 100, subsetSize = 1000, seed = 0 }: KidOptions = {},
): Generator<number, { mean: number; std: number }> {
  checkFeatures(a, size);
  checkFeatures(b, size);
  for (const [name, value, least] of [
    ['subsets', subsets, 1],
    ['subsetSize', subsetSize, 2],
  ] as const)
    if (!Number.isInteger(value) || value < least)
      throw new OptionError(`${name} is ${value}; it must be an integer of at least ${least}.`);
  const [n, m] = [a.length / size, b.length / size];
  const count = Math.min(subsetSize, n, m);
  if (count < 2) throw new OptionError(`${Math.min(n, m)} images are too few for a distance; give at least two of both kinds.`);
  checkSeed(seed);
  const random = (draw: number) => (i: number) => threefry2x32(seed >>> 0, Math.floor(seed / 2 ** 32), draw, i)[0] / 2 ** 32;
  const values: number[] = [];
  // If a subset is all images of both kinds, every other one is the same in another order.
  const different = count === n && count === m ? 1 : subsets;
  for (let s = 0; s < different; s++) {
    const x = pick(a, size, n, count, random(2 * s));
    const y = pick(b, size, m, count, random(2 * s + 1));
    const [xx, yy, xy] = [kernelSum(x, x, count, size), kernelSum(y, y, count, size), kernelSum(x, y, count, size)];
    values.push((xx.all - xx.diagonal + yy.all - yy.diagonal) / (count * (count - 1)) - (2 * xy.all) / count ** 2);
    yield (s + 1) / different;
  }
  const mean = values.reduce((sum, v) => sum + v, 0) / different;
  return { mean, std: Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / different) };
}

/** `count` different vectors of the n, in random order. */
function pick(features: ArrayLike<number>, size: number, n: number, count: number, random: (i: number) => number): Float64Array {
  const index = Uint32Array.from({ length: n }, (_, i) => i);
  const out = new Float64Array(count * size);
  for (let i = 0; i < count; i++) {
    const j = i + Math.min(n - i - 1, Math.floor(random(i) * (n - i)));
    const chosen = index[j]!;
    index[j] = index[i]!;
    for (let f = 0; f < size; f++) out[i * size + f] = features[chosen * size + f]!;
  }
  return out;
}

/** Sums of the kernel over all pairs, and over those of a vector with itself. For one set, half of the products are computed. */
function kernelSum(x: Float64Array, y: Float64Array, count: number, size: number): { all: number; diagonal: number } {
  const products = new Float64Array(count * count);
  const half = x === y;
  const range = (i: number, j: number) => (half && j > i ? undefined : ([0, size] as const));
  addProducts(matrix(products, count), matrix(x, size), matrix(y, size), count, count, 1, range);
  let [all, diagonal] = [0, 0];
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < (half ? i + 1 : count); j++) {
      const value = (products[i * count + j]! / size + 1) ** 3;
      all += half && j < i ? 2 * value : value;
      if (i === j) diagonal += value;
    }
  }
  return { all, diagonal };
}
