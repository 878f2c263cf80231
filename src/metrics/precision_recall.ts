/**
 * Precision and recall by nearest neighbours (Kynkäänniemi et al. 2019). An image counts as inside a set if, for one of the set's
 * images, it is no further away than that image's k-th nearest neighbour in the set.
 */
import { OptionError } from '../core/errors.js';
import { CHUNK, last, productChunks, shared, type Vectors, vectorsOf } from './chunks.js';

/**
 * The precision (share of generated images inside the real set), the recall (share of real images inside the generated set) and
 * their harmonic mean f. Throws OptionError for sets of at most k images and for values that are not finite, ShapeError for
 * incomplete vectors.
 *
 * @param generated Features [n, size].
 * @param real Features [m, size].
 * @param size Number of features of a vector.
 */
export function precisionRecall(
  generated: ArrayLike<number>,
  real: ArrayLike<number>,
  size: number,
  options: { k?: number } = {},
): PrecisionRecall {
  return last(precisionRecallSteps(generated, real, size, options));
}

export interface PrecisionRecall {
  precision: number;
  recall: number;
  f: number;
}

/** The same in steps of at most a second or so, between which a caller may stop or show the share done, which is yielded. */
export function* precisionRecallSteps(
  generated: ArrayLike<number>,
  real: ArrayLike<number>,
  size: number,
  { k = 3 }: { k?: number } = {},
): Generator<number, PrecisionRecall> {
  if (!Number.isInteger(k) || k < 1) throw new OptionError(`k is ${k}; it must be an integer of at least 1.`);
  const [a, b] = [measured(generated, size), measured(real, size)];
  for (const { count } of [a, b])
    if (count <= k) throw new OptionError(`${count} images have no ${k} neighbours each; give more than ${k} of both kinds.`);
  // Shares of the time, which is proportional to the pairs whose distance is computed.
  const [aa, bb, ab] = [a.count ** 2 / 2, b.count ** 2 / 2, a.count * b.count];
  const all = aa + bb + ab;
  const radiusA = yield* shared(radii(a, k), 0, aa / all);
  const radiusB = yield* shared(radii(b, k), aa / all, bb / all);
  const [insideB, insideA] = [new Uint8Array(a.count), new Uint8Array(b.count)];
  yield* shared(
    distances(a, b, (i, j, square) => {
      if (square <= radiusB[j]!) insideB[i] = 1;
      if (square <= radiusA[i]!) insideA[j] = 1;
    }),
    (aa + bb) / all,
    ab / all,
  );
  const share = (found: Uint8Array) => found.reduce((sum, v) => sum + v, 0) / found.length;
  const [precision, recall] = [share(insideB), share(insideA)];
  return { precision, recall, f: precision + recall ? (2 * precision * recall) / (precision + recall) : 0 };
}

interface Measured extends Vectors {
  /** |x|² of each vector. */
  squares: Float64Array;
}

function measured(features: ArrayLike<number>, size: number): Measured {
  const v = vectorsOf(features, size);
  const squares = new Float64Array(v.count);
  for (let i = 0, at = 0; i < v.count; i++) for (let f = 0; f < size; f++) squares[i]! += v.data[at++]! ** 2;
  return { ...v, squares };
}

/** Calls `visit(i, j, |x_i − y_j|²)` for all pairs, chunk by chunk. Yields the share done. */
function* distances(x: Measured, y: Measured, visit: (i: number, j: number, square: number) => void): Generator<number, void> {
  for (const { i0, j0, m, n, products, twice, done } of productChunks(x, y)) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        const square = x.squares[i0 + i]! + y.squares[j0 + j]! - 2 * products[i * CHUNK + j]!;
        visit(i0 + i, j0 + j, square);
        if (twice) visit(j0 + j, i0 + i, square);
      }
    }
    yield done;
  }
}

/** The squared distance of each vector to its k-th nearest neighbour. */
function* radii(v: Measured, k: number): Generator<number, Float64Array> {
  // For each vector, its k smallest distances so far, in ascending order.
  const nearest = new Float64Array(v.count * k).fill(Number.POSITIVE_INFINITY);
  yield* distances(v, v, (i, j, square) => {
    if (i === j || !(square < nearest[i * k + k - 1]!)) return;
    let at = i * k + k - 1;
    for (; at > i * k && nearest[at - 1]! > square; at--) nearest[at] = nearest[at - 1]!;
    nearest[at] = square;
  });
  return Float64Array.from({ length: v.count }, (_, i) => nearest[i * k + k - 1]!);
}
