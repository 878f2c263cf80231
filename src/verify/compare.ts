/** Rows of the verification table: how far computed tensors are from the expected ones, and how far they may be. */
import { CheckpointError } from '../core/errors.js';
import type { NumArray } from '../core/tensor.js';
import type { Tolerances } from './tolerance.js';

export interface VerifyRow {
  name: string;
  /** Largest absolute error; for tokens and codes the number that differ. */
  maxAbs: number;
  /**
   * maxAbs over the tensor's largest magnitude; for tokens and codes the share that differ; for weights after training steps the
   * largest share that a weight takes of what it is allowed.
   */
  maxRel: number;
  /** Allowed maxRel. */
  allowed: number;
  ok: boolean;
  note?: string;
}

/** A gradient whose values are all below this share of the largest of all gradients is 0 except for rounding. */
const ROUNDING = 1e-6;

/** Largest magnitude. */
export const largestOf = (values: ArrayLike<number>) =>
  Array.prototype.reduce.call(values, (m, v) => Math.max(m as number, Math.abs(v)), 0) as number;

/**
 * A gradient is held against its own largest value. Where that is rounding itself (of a bias before a GroupNorm that takes it
 * away, say, or of attention's keys), both sides must be small beside `largest`, the largest value of all gradients.
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

export function compare(name: string, got: ArrayLike<number>, want: ArrayLike<number>, allowed: number): VerifyRow {
  if (got.length !== want.length)
    throw new CheckpointError(`${name} has ${want.length} values, but this model's config makes ${got.length}.`);
  let maxAbs = 0;
  let largest = 0;
  for (let i = 0; i < want.length; i++) {
    const diff = Math.abs(got[i]! - want[i]!);
    // NaN fails: it is larger than any allowance.
    if (!(diff <= maxAbs)) maxAbs = Number.isNaN(diff) ? Number.POSITIVE_INFINITY : diff;
    largest = Math.max(largest, Math.abs(want[i]!));
  }
  const maxRel = maxAbs === 0 ? 0 : maxAbs / largest;
  return { name, maxAbs, maxRel, allowed, ok: maxRel <= allowed };
}

/** A row for integers, of which `differ` differ. */
export const exactRow = (name: string, differ: number, of: number): VerifyRow => ({
  name,
  maxAbs: differ,
  maxRel: differ / of,
  allowed: 0,
  ok: differ === 0,
});

/** Equal integers, except where the wanted one is within `tie` of the best candidate. */
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
    // NaN stays, and is no tie.
    widest = Math.max(widest, gap);
  }
  const row = exactRow(name, differ, want.length);
  if (!differ) return row;
  const note = `of two candidates ${widest.toPrecision(2)} apart, a near tie up to ${tie.toPrecision(2)}`;
  return { ...row, ok: widest <= tie, note };
}

/** −log softmax(logits)[target] */
export function crossEntropy(logits: NumArray, target: number): number {
  let max = Number.NEGATIVE_INFINITY;
  for (const v of logits) max = Math.max(max, v);
  let sum = 0;
  for (const v of logits) sum += Math.exp(v - max);
  return Math.log(sum) + max - logits[target]!;
}

/** Squared distance of L2-normalised z and codebook row. */
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

/** [b, c, s] → [b, s, c] */
export function toNhwc(data: ArrayLike<number>, b: number, c: number, s: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let n = 0; n < b; n++) {
    for (let i = 0; i < c; i++) for (let j = 0; j < s; j++) out[(n * s + j) * c + i] = data[(n * c + i) * s + j]!;
  }
  return out;
}
