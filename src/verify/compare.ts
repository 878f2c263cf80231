/** Compares computed tensors with expected ones and makes the rows of the verification table. */
import { CheckpointError } from '../core/errors.js';
import type { Tolerances } from './tolerance.js';

/** The result of one comparison. */
export interface VerifyRow {
  name: string;
  /** Largest absolute error; for tokens and codes, the number of wrong ones. */
  maxAbs: number;
  /**
   * maxAbs divided by the tensor's largest magnitude; for tokens and codes, the share of wrong ones; for weights after training
   * steps, the largest ratio of an error to the error allowed for that weight.
   */
  maxRel: number;
  /** The largest maxRel that is allowed. */
  allowed: number;
  /** True if the result is within the tolerance. */
  ok: boolean;
  note?: string;
}

/** If all values of a gradient are below this share of the largest value of all gradients, its true value is 0. */
const ROUNDING = 1e-6;

/** The largest magnitude of the values. */
export const largestOf = (values: ArrayLike<number>) =>
  Array.prototype.reduce.call(values, (m, v) => Math.max(m as number, Math.abs(v)), 0) as number;

/**
 * Compares a gradient, relative to its own largest value. If that value is only rounding (as for a bias before a GroupNorm, which
 * removes it, or for the keys of attention), both gradients must instead be small relative to `largest`, the largest value of all
 * gradients.
 */
export function gradientRow(
  name: string,
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  { gradient, vanishing }: Tolerances,
  largest: number,
): VerifyRow {
  const row = compare(name, got, want, gradient);
  if (largestOf(want) > ROUNDING * largest) return row;
  const maxRel = row.maxAbs / largest;
  const note = `0 but for rounding: relative to the largest of all gradients, ${largest.toPrecision(2)}`;
  return { ...row, maxRel, allowed: vanishing, ok: maxRel <= vanishing, note };
}

/** Compares floating-point values. Throws CheckpointError if the numbers of values differ. */
export function compare(name: string, got: ArrayLike<number>, want: ArrayLike<number>, allowed: number): VerifyRow {
  if (got.length !== want.length)
    throw new CheckpointError(`${name} has ${want.length} values, but this model's config makes ${got.length}.`);
  let maxAbs = 0;
  let largest = 0;
  for (let i = 0; i < want.length; i++) {
    const diff = Math.abs(got[i]! - want[i]!);
    // NaN counts as an infinite error.
    if (!(diff <= maxAbs)) maxAbs = Number.isNaN(diff) ? Number.POSITIVE_INFINITY : diff;
    largest = Math.max(largest, Math.abs(want[i]!));
  }
  const maxRel = maxAbs === 0 ? 0 : maxAbs / largest;
  return { name, maxAbs, maxRel, allowed, ok: maxRel <= allowed };
}

/** A row for integers: `differ` of `of` values are wrong. */
export const exactRow = (name: string, differ: number, of: number): VerifyRow => ({
  name,
  maxAbs: differ,
  maxRel: differ / of,
  allowed: 0,
  ok: differ === 0,
});

/** Compares integers. A wrong one is allowed if its candidate is within `tie` of the expected candidate: at(i).gap ≤ tie. */
export function tieRow(
  name: string,
  want: ArrayLike<number>,
  tie: number,
  at: (i: number) => { best: number; gap: number },
): VerifyRow {
  let differ = 0;
  let widest = 0;
  for (let i = 0; i < want.length; i++) {
    const { best, gap } = at(i);
    if (best === want[i]) continue;
    differ++;
    // NaN propagates and is not a tie.
    widest = Math.max(widest, gap);
  }
  const row = exactRow(name, differ, want.length);
  if (!differ) return row;
  const note = `of two candidates ${widest.toPrecision(2)} apart, a near tie up to ${tie.toPrecision(2)}`;
  return { ...row, ok: widest <= tie, note };
}

/** Squared distance of z [d] and a row of the codebook, both L2-normalised. Independent of the op that it checks. */
export function distance(z: ArrayLike<number>, book: ArrayLike<number>, row: number, d: number): number {
  let nz = 0;
  let ne = 0;
  for (let i = 0; i < d; i++) {
    nz += z[i]! ** 2;
    ne += book[row * d + i]! ** 2;
  }
  let sum = 0;
  for (let i = 0; i < d; i++) sum += (z[i]! / Math.sqrt(nz) - book[row * d + i]! / Math.sqrt(ne)) ** 2;
  return sum;
}

/** Transposes [b, c, s] to [b, s, c]. */
export function toNhwc(data: ArrayLike<number>, b: number, c: number, s: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let n = 0; n < b; n++) {
    for (let i = 0; i < c; i++) for (let j = 0; j < s; j++) out[(n * s + j) * c + i] = data[(n * c + i) * s + j]!;
  }
  return out;
}
