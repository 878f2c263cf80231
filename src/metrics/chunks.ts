/** Products of all vectors of two sets, or of one with itself, a chunk at a time: what distances and kernels are made from. */
import { checkFeatures } from './frechet.js';
import { addProducts, type Rows } from './products.js';

/** Products are computed for this many vectors times this many at a time (2 MiB). */
export const CHUNK = 512;

export interface Vectors {
  data: Rows['data'];
  count: number;
  size: number;
}

/** Throws ShapeError for incomplete vectors, OptionError for values that are not finite. */
export function vectorsOf(features: ArrayLike<number>, size: number): Vectors {
  checkFeatures(features, size);
  const known = features instanceof Float32Array || features instanceof Float64Array;
  return { data: known ? features : Float64Array.from(features), count: features.length / size, size };
}

export interface Chunk {
  /** The first vectors, and numbers of vectors. */
  i0: number;
  j0: number;
  m: number;
  n: number;
  /** x_i·y_j at (i − i0)·CHUNK + j − j0, until the next chunk. */
  products: Float64Array;
  /** Whether the chunk also stands for that with i and j exchanged, as below the diagonal of a set with itself. */
  twice: boolean;
  /** The share of all products that are computed. */
  done: number;
}

/** All products x_i·y_j. Of a set with itself (x === y), each is computed once outside of chunks on the diagonal. */
export function* productChunks(x: Vectors, y: Vectors): Generator<Chunk, void> {
  const products = new Float64Array(CHUNK * CHUNK);
  let done = 0;
  for (let i0 = 0; i0 < x.count; i0 += CHUNK) {
    const m = Math.min(CHUNK, x.count - i0);
    const end = x === y ? i0 + m : y.count;
    for (let j0 = 0; j0 < end; j0 += CHUNK) {
      const n = Math.min(CHUNK, y.count - j0);
      const twice = x === y && j0 < i0;
      products.fill(0);
      const rows = (v: Vectors, first: number) => ({ data: v.data, at: first * v.size, stride: v.size });
      addProducts({ data: products, at: 0, stride: CHUNK }, rows(x, i0), rows(y, j0), m, n, 1, () => [0, x.size]);
      done += (twice ? 2 * m * n : m * n) / (x.count * y.count);
      yield { i0, j0, m, n, products, twice, done };
    }
  }
}

/** Runs a computation in steps to its end. */
export function last<T>(steps: Generator<number, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** Yields the shares of a part that begins at `from` of the whole and is `size` of it. */
export function* shared<T>(steps: Generator<number, T>, from: number, size: number): Generator<number, T> {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    yield from + size * step.value;
  }
}
