/**
 * The Fréchet distance of two sets of feature vectors, treated as Gaussians: |μa − μb|² + tr(Σa + Σb − 2·(Σa·Σb)^½)
 * (Heusel et al. 2017). For Inception features this is the FID. Computed in float64; covariances divide by n − 1.
 */
import { OptionError, ShapeError } from '../core/errors.js';
import { cholesky, eigenvalues } from './linear_algebra.js';
import { addProducts, matrix } from './products.js';

/** Mean [d] and covariance [d, d] of feature vectors, and their number, which published statistics usually omit. */
export interface Gaussian {
  mean: Float64Array;
  covariance: Float64Array;
  count?: number | undefined;
}

/** Options of metrics. */
export interface MetricOptions {
  /** Called with warnings about values that are not reliable. Default: console.warn. */
  onWarning?: ((message: string) => void) | undefined;
}

/** Number of vectors whose products are added at once. */
const BATCH = 256;

/**
 * Accumulates the sums from which mean and covariance follow: n, Σ (x − c) and Σ (x − c)(x − c)ᵀ in float64. c is the first
 * vector seen, which prevents a loss of digits if the mean is far from 0. Accumulators can be merged. How vectors are divided
 * among accumulators affects only the rounding (about 1e-15 of the largest value); merging in the same order gives identical
 * bits.
 */
export class Moments {
  count = 0;
  private readonly centre: Float64Array;
  /** Σ (x − c). */
  private readonly sum: Float64Array;
  /** Σ (x − c)ᵢ·(x − c)ⱼ for j ≤ i, without the vectors in `waiting`. */
  private readonly products: Float64Array;
  /** Vectors whose products are not added yet, [size, BATCH]. */
  private readonly waiting: Float64Array;
  private pending = 0;

  /** @param size Number of features of a vector. */
  constructor(readonly size: number) {
    if (!Number.isInteger(size) || size < 1 || size > 2 ** 14)
      throw new OptionError(`the number of features is ${size}; it must be an integer from 1 to 16384.`);
    this.centre = new Float64Array(size);
    this.sum = new Float64Array(size);
    this.products = new Float64Array(size * size);
    this.waiting = new Float64Array(size * BATCH);
  }

  /** Adds vectors [n, size]. Throws ShapeError for an incomplete vector and OptionError for NaN or infinity. */
  add(features: ArrayLike<number>): this {
    const { size, centre, sum, waiting } = this;
    checkFeatures(features, size);
    for (let at = 0; at < features.length; at += size) {
      if (this.count === 0) for (let f = 0; f < size; f++) centre[f] = features[at + f]!;
      for (let f = 0; f < size; f++) {
        const value = features[at + f]! - centre[f]!;
        sum[f]! += value;
        waiting[f * BATCH + this.pending] = value;
      }
      this.count++;
      if (++this.pending === BATCH) this.flush();
    }
    return this;
  }

  /** Adds all vectors of another accumulator. Throws ShapeError if it has another number of features. */
  merge(other: Moments): this {
    const { size, centre, sum, products } = this;
    if (other.size !== size) throw differ(size, other.size);
    if (other.count === 0) return this;
    if (this.count === 0) centre.set(other.centre);
    this.flush();
    other.flush();
    // x − c = (x − c') + t with t = c' − c.
    const shift = centre.map((c, f) => other.centre[f]! - c);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j <= i; j++)
        products[i * size + j]! +=
          other.products[i * size + j]! +
          (shift[i]! * other.sum[j]! + shift[j]! * other.sum[i]!) +
          other.count * shift[i]! * shift[j]!;
    }
    for (let f = 0; f < size; f++) sum[f]! += other.sum[f]! + other.count * shift[f]!;
    this.count += other.count;
    return this;
  }

  /** Mean and covariance. Throws OptionError for fewer than two vectors, which have no covariance. */
  gaussian(): Gaussian {
    const { size, count, centre, sum, products } = this;
    if (count < 2)
      throw new OptionError(
        `statistics of ${count} image${count ? '' : 's'} have no covariance; give at least two, better thousands.`,
      );
    this.flush();
    const mean = sum.map((s, f) => centre[f]! + s / count);
    const covariance = new Float64Array(size * size);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j <= i; j++) {
        const value = (products[i * size + j]! - (sum[i]! * sum[j]!) / count) / (count - 1);
        covariance[i * size + j] = covariance[j * size + i] = value;
      }
    }
    return { mean, covariance, count };
  }

  /** Adds the products of the waiting vectors. */
  private flush(): void {
    const { size, pending } = this;
    const rows = matrix(this.waiting, BATCH);
    if (pending)
      addProducts(matrix(this.products, size), rows, rows, size, size, 1, (i, j) => (j > i ? undefined : [0, pending]));
    this.pending = 0;
  }
}

/** Mean and covariance of feature vectors [n, size]. Throws like Moments.add and Moments.gaussian. */
export function moments(features: ArrayLike<number>, size: number): Gaussian {
  return new Moments(size).add(features).gaussian();
}

/**
 * The Fréchet distance. Warns if a set has fewer vectors than features. Throws ShapeError for statistics of different sizes and
 * OptionError for values that are not finite.
 *
 * tr (Σa·Σb)^½ is the sum of the square roots of the eigenvalues of Σa·Σb. They equal those of the symmetric matrix Lᵀ·Σb·L,
 * where Σa = L·Lᵀ. With a pivoted Cholesky factor L this also holds for singular covariances, without adding anything to them.
 */
export function frechetDistance(a: Gaussian, b: Gaussian, { onWarning = console.warn }: MetricOptions = {}): number {
  const d = a.mean.length;
  if (b.mean.length !== d) throw differ(d, b.mean.length);
  for (const { mean, covariance, count } of [a, b]) {
    if (covariance.length !== d * d)
      throw new ShapeError(`the covariance of ${d} features has ${covariance.length} elements; it must have ${d * d}.`);
    checkFeatures(mean, d);
    checkFeatures(covariance, d);
    if (count !== undefined && count < d)
      onWarning(
        `${count} images are fewer than the ${d} features: their covariance is singular and the distance too large to compare ` +
          'with others; use more images.',
      );
  }
  let distance = 0;
  for (let i = 0; i < d; i++)
    distance += (a.mean[i]! - b.mean[i]!) ** 2 + a.covariance[i * (d + 1)]! + b.covariance[i * (d + 1)]!;
  return distance - 2 * traceOfRoot(a.covariance, b.covariance, d);
}

function traceOfRoot(S: Float64Array, T: Float64Array, d: number): number {
  const { L, rank, order } = cholesky(S, d);
  // In the order of the factor, T is Y + Yᵀ with a lower triangular Y, so Lᵀ·T·L = R + Rᵀ with R = Lᵀ·(Y·L).
  const Y = new Float64Array(d * d);
  for (let i = 0; i < d; i++) {
    for (let j = 0; j < i; j++) Y[i * d + j] = T[order[i]! * d + order[j]!]!;
    Y[i * d + i] = T[order[i]! * (d + 1)]! / 2;
  }
  const LT = new Float64Array(rank * d);
  for (let i = 0; i < d; i++) for (let j = 0; j < Math.min(rank, i + 1); j++) LT[j * d + i] = L[i * d + j]!;
  const [rows, triangle] = [matrix(LT, d), matrix(Y, d)];
  // (Y·L)ᵀ[j, i] = Σ Y[i, k]·L[k, j] over j ≤ k ≤ i; tiles are 64 wide.
  const ZT = new Float64Array(rank * d);
  addProducts(matrix(ZT, d), rows, triangle, rank, d, 1, (j, i) => (i + 64 <= j ? undefined : [j, Math.min(d, i + 64)]));
  const R = new Float64Array(rank * rank);
  addProducts(matrix(R, rank), rows, matrix(ZT, d), rank, rank, 1, (i, j) => [Math.max(i, j), d]);
  const M = new Float64Array(rank * rank);
  for (let i = 0; i < rank; i++) for (let j = 0; j < rank; j++) M[i * rank + j] = R[i * rank + j]! + R[j * rank + i]!;
  let trace = 0;
  // Rounding can make an eigenvalue that should be 0 slightly negative.
  for (const value of eigenvalues(M, rank)) trace += Math.sqrt(Math.max(0, value));
  return trace;
}

/** @internal Throws ShapeError unless the vectors of `size` features are complete, OptionError unless all values are finite. */
export function checkFeatures(features: ArrayLike<number>, size: number): void {
  if (features.length % size !== 0)
    throw new ShapeError(`${features.length} features are not whole vectors of ${size}; pass all features of each image.`);
  for (let i = 0; i < features.length; i++) {
    const value = features[i]!;
    if (value - value !== 0)
      throw new OptionError(
        `feature ${i % size} of image ${Math.floor(i / size)} is ${value}; the images or the network's weights are damaged.`,
      );
  }
}

function differ(one: number, other: number): ShapeError {
  return new ShapeError(
    `one set has ${one} features and the other ${other}: they come from different networks or layers; compute both with one.`,
  );
}
