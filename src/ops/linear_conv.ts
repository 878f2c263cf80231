/**
 * proj[m,l,n] = x·wᵀ, and y[m,l,c] is the causal convolution, with SiLU, of the columns of proj from `offset` on. This is the
 * start of a Mamba mixer. For one position it is a single launch on WebGPU, in which the thread that completes a sum also
 * computes its step of the convolution.
 */
import shader from '../../shaders/linear_conv.wgsl';
import { causalConv1d } from './causal_conv1d.js';
import { gemvPlan } from './gemv.js';
import { productOf } from './linear.js';
import { composite } from './spec.js';

export const linearConv = {
  forward: composite('linear_conv', 'forward', shader, {
    tensors: {
      x: { shape: 'm l d', io: 'in', half: true },
      w: { shape: 'n d', io: 'in', half: true },
      taps: { shape: 'c 1 k', io: 'in' },
      conv_bias: { shape: 'c', io: 'in' },
      state: { shape: 'm c q', io: 'inout', optional: true },
      proj: { shape: 'm l n', io: 'out', half: true },
      y: { shape: 'm l c', io: 'out', half: true },
    },
    batch: 'm',
    attrs: { offset: 'u32' },
    parts(be, { x, w, taps, conv_bias, state, proj, y }, { m, l, d, n, offset }) {
      be.run(productOf(l), { x: be.reshape(x, [m * l, d]), w, y: be.reshape(proj, [m * l, n]) });
      be.run(causalConv1d.forward, { x: proj, weight: taps, bias: conv_bias, state, y }, { offset });
    },
    webgpu({ m, l, n, d, c, k, q, offset }, caps, half) {
      // For other sizes the parts run. They report sizes that are invalid.
      if (l !== 1 || k > 8 || (q !== 0 && q !== k - 1) || offset + c > n) return undefined;
      return gemvPlan({ m, n, k: d }, caps, half.has('w'), { constants: { TAPS: k } });
    },
    flops: ({ m, l, n, d, c, k }) => 2 * m * l * (n * d + c * k),
    tolerance: { f32: 4e-6, reason: 'd products and then k in f32, in another order' },
  }),
};
