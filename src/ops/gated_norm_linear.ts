/**
 * g = RMSNorm(x·SiLU(z))·weight (rms_norm_gated);  y = g·wᵀ. This is the end of a Mamba-2 mixer. For one position and few rows it
 * is a single launch on WebGPU.
 */
import shader from '../../shaders/gated_norm_linear.wgsl';
import { normGemvPlan } from './gemv.js';
import { productOf } from './linear.js';
import { rmsNormGated } from './rms_norm_gated.js';
import { composite } from './spec.js';

export const gatedNormLinear = {
  forward: composite('gated_norm_linear', 'forward', shader, {
    tensors: {
      x: { shape: 'm l e', io: 'in', half: true },
      z: { shape: 'm l s', io: 'in', half: true },
      weight: { shape: 'e', io: 'in' },
      w: { shape: 'n e', io: 'in', half: true },
      g: { shape: 'm l e', io: 'out', half: true, between: true },
      y: { shape: 'm l n', io: 'out', half: true },
    },
    batch: 'm',
    attrs: { groups: 'u32', z_offset: 'u32', eps: 'f32' },
    parts(be, { x, z, weight, w, g, y }, { m, l, e, n, groups, z_offset, eps }) {
      const normed = g ?? be.tensor(x.shape);
      be.run(rmsNormGated.forward, { x, z, weight, y: normed }, { groups, z_offset, eps });
      be.run(productOf(l), { x: be.reshape(normed, [m * l, e]), w, y: be.reshape(y, [m * l, n]) });
      if (!g) be.free(normed);
    },
    webgpu({ m, l, n, e, s, groups, z_offset }, caps, half) {
      if (l !== 1 || groups !== 1 || s % 4 || z_offset % 4 || z_offset + e > s) return undefined;
      return normGemvPlan({ m, n, k: e }, caps, half.has('w'), 1, { vec4: ['x', 'z', 'weight'] });
    },
    flops: ({ m, l, n, e }) => 2 * m * l * n * e,
    tolerance: { f32: 6e-6, reason: 'an exp, e squares and e products in f32, in another order' },
  }),
};
