/**
 * The Kernel Inception Distance (Bińkowski et al. 2018): the unbiased squared maximum mean discrepancy under the polynomial
 * kernel (x·y/d + 1)³, averaged over random subsets.
 */
import { OptionError } from '../core/errors.js';
import { checkSeed, threefry2x32 } from '../core/random.js';
import { CHUNK, last, productChunks, shared, type Vectors, vectorsOf } from './chunks.js';

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

/** The same in steps, between which a caller may stop or show the share done, which is yielded. */
export function* kernelDistanceSteps(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  size: number,
  { subsets = 100, subsetSize = 1000, seed = 0 }: KidOptions = {},
): Generator<number, { mean: number; std: number }> {
  const [x, y] = [vectorsOf(a, size), vectorsOf(b, size)];
  for (const [name, value, least] of [
    ['subsets', subsets, 1],
    ['subsetSize', subsetSize, 2],
  ] as const)
    if (!Number.isInteger(value) || value < least)
      throw new OptionError(`${name} is ${value}; it must be an integer of at least ${least}.`);
  const [n, m] = [x.count, y.count];
  const count = Math.min(subsetSize, n, m);
  if (count < 2) throw new OptionError(`${Math.min(n, m)} images are too few for a distance; give at least two of both kinds.`);
  checkSeed(seed);
  const random = (draw: number) => (i: number) => threefry2x32(seed >>> 0, Math.floor(seed / 2 ** 32), draw, i)[0] / 2 ** 32;
  // If a subset is all images of both kinds, every other one is the same in another order.
  const different = count === n && count === m ? 1 : subsets;
  const chosen = Array.from({ length: different }, (_, s) => ({
    x: pick(n, count, random(2 * s)),
    y: pick(m, count, random(2 * s + 1)),
  }));
  const values: number[] = [];
  // Products of all images are fewer than those of many subsets, which share images.
  if ((n + m) ** 2 <= different * (2 * count) ** 2) values.push(...(yield* distances(x, y, chosen)));
  else {
    const all = Uint32Array.from({ length: count }, (_, i) => i);
    for (const [s, subset] of chosen.entries())
      values.push(
        ...(yield* shared(
          distances(rowsOf(x, subset.x), rowsOf(y, subset.y), [{ x: all, y: all }]),
          s / different,
          1 / different,
        )),
      );
  }
  const mean = values.reduce((sum, v) => sum + v, 0) / different;
  return { mean, std: Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / different) };
}

/** Indices of `count` different vectors of the n, ascending. */
function pick(n: number, count: number, random: (i: number) => number): Uint32Array {
  const index = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = 0; i < count; i++) {
    const j = i + Math.min(n - i - 1, Math.floor(random(i) * (n - i)));
    [index[i], index[j]] = [index[j]!, index[i]!];
  }
  return index.slice(0, count).sort();
}

function rowsOf({ data, size }: Vectors, index: Uint32Array): Vectors {
  const rows = new Float64Array(index.length * size);
  index.forEach((from, i) => {
    rows.set(data.subarray(from * size, (from + 1) * size), i * size);
  });
  return { data: rows, count: index.length, size };
}

/** Indices of vectors, ascending, of both sets. */
interface Subset {
  x: Uint32Array;
  y: Uint32Array;
}

/** The distance of each subset. Yields the share done. */
function* distances(x: Vectors, y: Vectors, subsets: readonly Subset[]): Generator<number, number[]> {
  const [xs, ys] = [subsets.map((s) => s.x), subsets.map((s) => s.y)];
  // Shares of the time, which is proportional to the products.
  const parts = [x.count ** 2 / 2, y.count ** 2 / 2, x.count * y.count] as const;
  const whole = parts[0] + parts[1] + parts[2];
  const xx = yield* shared(kernelSums(x, x, xs, xs), 0, parts[0] / whole);
  const yy = yield* shared(kernelSums(y, y, ys, ys), parts[0] / whole, parts[1] / whole);
  const xy = yield* shared(kernelSums(x, y, xs, ys), (parts[0] + parts[1]) / whole, parts[2] / whole);
  return subsets.map(({ x: { length: count } }, s) => {
    return (xx[s]! + yy[s]!) / (count * (count - 1)) - (2 * xy[s]!) / count ** 2;
  });
}

/**
 * For each subset, the sum of the kernel over all pairs of its vectors xs of x and ys of y. Of a set with itself, without those of a
 * vector with itself. Yields the share done.
 */
function* kernelSums(
  x: Vectors,
  y: Vectors,
  xs: readonly Uint32Array[],
  ys: readonly Uint32Array[],
): Generator<number, Float64Array> {
  const sums = new Float64Array(xs.length);
  for (const { i0, j0, m, n, products, twice, done } of productChunks(x, y)) {
    for (let i = 0; i < m; i++) {
      for (let at = i * CHUNK; at < i * CHUNK + n; at++) {
        const base = products[at]! / x.size + 1;
        products[at] = base * base * base;
      }
    }
    if (x === y && i0 === j0) for (let i = 0; i < m; i++) products[i * (CHUNK + 1)] = 0;
    for (let s = 0; s < xs.length; s++) {
      const columns = within(ys[s]!, j0, n);
      let sum = 0;
      for (const i of within(xs[s]!, i0, m)) {
        const row = (i - i0) * CHUNK - j0;
        for (let c = 0; c < columns.length; c++) sum += products[row + columns[c]!]!;
      }
      sums[s]! += twice ? 2 * sum : sum;
    }
    yield done;
  }
  return sums;
}

/** The indices from `first` to `first + count`, of ascending ones. */
function within(index: Uint32Array, first: number, count: number): Uint32Array {
  const from = (least: number) => {
    let [low, high] = [0, index.length];
    while (low < high) {
      const mid = (low + high) >> 1;
      if (index[mid]! < least) low = mid + 1;
      else high = mid;
    }
    return low;
  };
  return index.subarray(from(first), from(first + count));
}
