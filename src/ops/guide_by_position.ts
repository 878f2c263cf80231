/**
 * Classifier-free guidance with a scale of its own for each position: w = scales[step], or the last. c is the first half of the rows
 * of logits, which are conditional, and u is the second half, which are unconditional.
 *
 * y = u + (c - u)·w as in guide or, with `probabilities`, y = ln max(0, p) with p = u + (c - u)·w of their softmaxes: Eq. 11 of the AiM
 * paper (arXiv 2408.12245). A p below the least normal number gives NONE.
 */
import shader from '../../shaders/guide_by_position.wgsl';
import { furtherKernels } from './further_kernels.js';
import { entry, grid } from './spec.js';

/** The logarithm of no probability: finite, and no token at any temperature. */
export const NONE = -1e30;

export const guideByPosition = {
  forward: entry('guide_by_position', 'forward', shader, {
    tensors: {
      logits: { shape: 'm v', io: 'in' },
      scales: { shape: 't', io: 'in' },
      step: { shape: 'b', io: 'in', dtype: 'u32' },
      y: { shape: 'b v', io: 'out' },
    },
    attrs: { probabilities: 'u32' },
    check: ({ m, b }) =>
      m === 2 * b
        ? undefined
        : `logits has ${m} rows, expected 2b = ${2 * b}; pass the conditional rows, then the unconditional.`,
    webgpu: ({ b }) => ({ workgroups: grid(b) }),
    wasmBinary: furtherKernels,
    tolerance: { f32: 4e-6, reason: 'v exponentials summed in f32, in another order, and a log' },
  }),
};
