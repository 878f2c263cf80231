/**
 * norm = scale·√Σ sums is the global norm of gradients that AdamW multiplies by `scale` (1 over the number of accumulated
 * batches). The op sets two values in AdamW's `hyper`: grad_scale = scale·min(1, max_norm / (norm + 1e-6)), as in torch's
 * clip_grad_norm_, and skip = 1 if the norm is not finite. skip stays 1, so that later steps change nothing either, until the
 * host clears it.
 *
 * With `loss_scale` [s, good] (mixed precision, Micikevicius et al. 2018) the gradients are those of s times the loss, so that
 * small ones do not vanish in float16, and scale is divided by s. If the norm is not finite, only this step is skipped and s is
 * halved. After `growth` good steps in a row s is doubled. Once s is below 1, a smaller one would not help, and skip stays 1.
 */
import shader from '../../shaders/clip.wgsl';
import { GRAD_SCALE, SKIP } from './shared.js';
import { entry } from './spec.js';

export const clip = {
  forward: entry('clip', 'forward', shader, {
    tensors: {
      sums: { shape: 'k', io: 'in' },
      hyper: { shape: '8', io: 'inout' },
      loss_scale: { shape: '2', io: 'inout', optional: true },
      norm: { shape: '1', io: 'out' },
    },
    attrs: { max_norm: 'f32', scale: 'f32', growth: 'u32' },
    check({ max_norm, scale }) {
      if (!(max_norm > 0)) return `max_norm is ${max_norm}; pass a positive number, for no clipping a huge one such as 1e30.`;
      if (!(scale > 0)) return `scale is ${scale}; pass a positive number, for gradients of one batch 1.`;
      return undefined;
    },
    webgpu: () => ({ constants: { GRAD_SCALE, SKIP }, workgroups: [1] }),
    tolerance: { f32: 2e-6, reason: 'k sums of one sign added up in f32, in another order' },
  }),
};
