/**
 * y = ln max(0, p), p = u + (c - u)·w with u, c = softmax of the logits: guidance on probabilities, Eq. 11 of the AiM paper (arXiv
 * 2408.12245). Rows and w are those of guide. A probability of 0, or of less than the least normal number, gives NONE.
 */
import shader from '../../shaders/guide_probabilities.wgsl';
import { checkRows, GUIDED } from './guide.js';
import { entry, grid } from './spec.js';

/** The logarithm of no probability: finite, and no token at any temperature. */
export const NONE = -1e30;

export const guideProbabilities = {
  forward: entry('guide_probabilities', 'forward', shader, {
    tensors: GUIDED,
    attrs: { scale: 'f32' },
    check: checkRows,
    webgpu: ({ b }) => ({ workgroups: grid(b) }),
    flops: ({ b, v }) => 60 * b * v,
    tolerance: { f32: 4e-6, reason: 'v exponentials summed in f32, in another order, and a log' },
  }),
};
