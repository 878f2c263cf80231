/**
 * sum = res + gate·x;  u = RMSNorm(sum)·weight·(1 + scale) + shift (add_rms_norm);  proj = u·wᵀ, and y is the causal convolution
 * of the columns of proj from `offset` on (linear_conv). This is all of a layer before its recurrence. For one position and few
 * rows it is a single launch on WebGPU.
 */
import shader from '../../shaders/norm_linear_conv.wgsl';
import { addRmsNorm } from './add_rms_norm.js';
import { normGemvPlan } from './gemv.js';
import { linearConv } from './linear_conv.js';
import { composite } from './spec.js';

export const normLinearConv = {
  forward: composite('norm_linear_conv', 'forward', shader, {
    tensors: {
      x: { shape: 'm l d', io: 'in', half: true },
      res: { shape: 'm l d', io: 'in', optional: true },
      gate: { shape: 'm 3 d', io: 'in', optional: true },
      weight: { shape: 'd', io: 'in' },
      modulation: { shape: 'm 3 d', io: 'in', optional: true },
      w: { shape: 'n d', io: 'in', half: true },
      taps: { shape: 'c 1 k', io: 'in' },
      conv_bias: { shape: 'c', io: 'in' },
      state: { shape: 'm c q', io: 'inout', optional: true },
      sum: { shape: 'm l d', io: 'out', optional: true },
      u: { shape: 'm l d', io: 'out', half: true, between: true },
      proj: { shape: 'm l n', io: 'out', half: true },
      y: { shape: 'm l c', io: 'out', half: true },
    },
    batch: 'm',
    attrs: { offset: 'u32', eps: 'f32' },
    parts(be, { x, res, gate, weight, modulation, w, taps, conv_bias, state, sum, u, proj, y }, { offset, eps }) {
      const normed = u ?? be.tensor(x.shape);
      be.run(addRmsNorm.forward, { x, res, gate, weight, modulation, sum, y: normed }, { eps });
      be.run(linearConv.forward, { x: normed, w, taps, conv_bias, state, proj, y }, { offset });
      if (!u) be.free(normed);
    },
    webgpu({ m, l, n, d, c, k, q, offset }, caps, half) {
      // For other sizes the parts run. They report sizes that are invalid.
      if (l !== 1 || k > 8 || (q !== 0 && q !== k - 1) || offset + c > n) return undefined;
      return normGemvPlan({ m, n, k: d }, caps, half.has('w'), 4, {
        constants: { TAPS: k },
        vec4: ['x', 'res', 'gate', 'weight', 'modulation', 'sum'],
      });
    },
    flops: ({ m, l, n, d, c, k }) => 2 * m * l * (n * d + c * k),
    tolerance: { f32: 6e-6, reason: 'd squares, d products and then k in f32, in another order' },
  }),
};
