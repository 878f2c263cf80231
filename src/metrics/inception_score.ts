/** The Inception Score (Salimans et al. 2016): exp of the mean KL divergence between a classifier's outputs and their mean. */
import { OptionError } from '../core/errors.js';
import { checkFeatures } from './frechet.js';

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
  const n = logits.length / classes;
  if (!Number.isInteger(splits) || splits < 1) throw new OptionError(`splits is ${splits}; it must be an integer of at least 1.`);
  if (n < splits) throw new OptionError(`${n} images cannot be divided into ${splits} splits; give more images or fewer splits.`);
  const scores: number[] = [];
  for (let s = 0; s < splits; s++) {
    const [first, last] = [Math.floor((s * n) / splits), Math.floor(((s + 1) * n) / splits)];
    // mean KL = mean Σ p·log p − Σ p̄·log p̄
    const marginal = new Float64Array(classes);
    let entropy = 0;
    for (let i = first; i < last; i++) {
      let most = Number.NEGATIVE_INFINITY;
      for (let c = 0; c < classes; c++) most = Math.max(most, logits[i * classes + c]!);
      let sum = 0;
      for (let c = 0; c < classes; c++) sum += Math.exp(logits[i * classes + c]! - most);
      const logSum = Math.log(sum);
      for (let c = 0; c < classes; c++) {
        const logP = logits[i * classes + c]! - most - logSum;
        const p = Math.exp(logP);
        marginal[c]! += p / (last - first);
        if (p > 0) entropy += (p * logP) / (last - first);
      }
    }
    for (const p of marginal) if (p > 0) entropy -= p * Math.log(p);
    scores.push(Math.exp(entropy));
  }
  const mean = scores.reduce((sum, v) => sum + v, 0) / splits;
  return { mean, std: Math.sqrt(scores.reduce((sum, v) => sum + (v - mean) ** 2, 0) / splits) };
}
