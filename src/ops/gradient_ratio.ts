/**
 * y = scale·min(most, A/(B + eps)), where A = √Σa/s and B = √Σb/s are the norms of two gradients from their sums of squares
 * (`square_sum`), and s = loss_scale[0] is the factor that both have (1 without it; see clip). It weighs an adversarial loss so that
 * its gradient is as large as that of the other losses (Esser et al. 2021, arXiv 2012.09841). If a norm is not finite, which `clip`
 * answers with a smaller s, y = scale.
 */
import shader from '../../shaders/gradient_ratio.wgsl';
import { entry } from './spec.js';

export const gradientRatio = {
  forward: entry('gradient_ratio', 'forward', shader, {
    tensors: {
      a: { shape: 'p', io: 'in' },
      b: { shape: 'q', io: 'in' },
      loss_scale: { shape: '2', io: 'in', optional: true },
      y: { shape: '1', io: 'out' },
    },
    attrs: { scale: 'f32', eps: 'f32', most: 'f32' },
    check: ({ eps }) => (eps > 0 ? undefined : `eps is ${eps}; pass a positive number.`),
    webgpu: () => ({ workgroups: [1] }),
    tolerance: { f32: 3e-6, reason: 'two sums and their roots in f32' },
  }),
};
