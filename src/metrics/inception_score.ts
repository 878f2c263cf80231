/** The Inception Score (Salimans et al. 2016): exp of the mean KL divergence between a classifier's outputs and their mean. */
import { OptionError, ShapeError } from '../core/errors.js';
import { checkFeatures } from './frechet.js';

/**
 * Accumulates the score of images whose number is known beforehand, so that their logits need not be in memory together. However
 * they are divided among calls of `add`, the result is the same to the bit.
 */
export class InceptionScore {
  private seen = 0;
  private split = 0;
  private readonly scores: number[] = [];
  private readonly marginal: Float64Array;
  private entropy = 0;

  /**
   * @param count Number of images.
   * @param classes Number of classes.
   */
  constructor(
    private readonly count: number,
    private readonly classes: number,
    private readonly splits = 10,
  ) {
    if (!Number.isInteger(splits) || splits < 1)
      throw new OptionError(`splits is ${splits}; it must be an integer of at least 1.`);
    if (count < splits)
      throw new OptionError(`${count} images cannot be divided into ${splits} splits; give more images or fewer splits.`);
    this.marginal = new Float64Array(classes);
  }

  /** Adds logits [n, classes]. Throws ShapeError for an incomplete row, OptionError for values that are not finite. */
  add(logits: ArrayLike<number>): this {
    const { classes, marginal } = this;
    checkFeatures(logits, classes);
    for (let at = 0; at < logits.length; at += classes) {
      // mean KL = mean Σ p·log p − Σ p̄·log p̄
      const images = this.bound(this.split + 1) - this.bound(this.split);
      let most = Number.NEGATIVE_INFINITY;
      for (let c = 0; c < classes; c++) most = Math.max(most, logits[at + c]!);
      let sum = 0;
      for (let c = 0; c < classes; c++) sum += Math.exp(logits[at + c]! - most);
      const logSum = Math.log(sum);
      for (let c = 0; c < classes; c++) {
        const logP = logits[at + c]! - most - logSum;
        const p = Math.exp(logP);
        marginal[c]! += p / images;
        if (p > 0) this.entropy += (p * logP) / images;
      }
      if (++this.seen === this.bound(this.split + 1)) this.endSplit();
    }
    return this;
  }

  /** The mean and the standard deviation (divided by the splits' number) of the splits' scores. */
  result(): { mean: number; std: number } {
    const { scores, splits, seen, count } = this;
    if (seen !== count) throw new ShapeError(`${seen} images were added and ${count} announced; add all of them, once.`);
    const mean = scores.reduce((sum, v) => sum + v, 0) / splits;
    return { mean, std: Math.sqrt(scores.reduce((sum, v) => sum + (v - mean) ** 2, 0) / splits) };
  }

  /** Index of the first image of a split. */
  private bound(split: number): number {
    return Math.floor((split * this.count) / this.splits);
  }

  private endSplit(): void {
    for (const p of this.marginal) if (p > 0) this.entropy -= p * Math.log(p);
    this.scores.push(Math.exp(this.entropy));
    this.marginal.fill(0);
    this.entropy = 0;
    this.split++;
  }
}

/**
 * The mean and the standard deviation (divided by n) of the scores of `splits` equal parts of the images, in the given order.
 * Throws OptionError for fewer images than splits and for values that are not finite, ShapeError for an incomplete row.
 *
 * @param logits [n, classes], before the softmax. The usual score takes the logits of the FID network without bias.
 * @param classes Number of classes.
 */
export function inceptionScore(
  logits: ArrayLike<number>,
  classes: number,
  { splits = 10 }: { splits?: number } = {},
): { mean: number; std: number } {
  checkFeatures(logits, classes);
  return new InceptionScore(logits.length / classes, classes, splits).add(logits).result();
}
