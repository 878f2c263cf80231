/**
 * y[m] = Σ_c weight[c]·(x̂[m,c] - t̂[m,c])², where the hat divides a row by its length + 1e-10: how far the features of an image are
 * from those of another at each position (LPIPS: Zhang et al. 2018, arXiv 1801.03924). Without weight all weights are 1.
 */
import shader from '../../shaders/feature_distance.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

/** Rows of a workgroup of 256 threads. */
const ROWS = 16;

export const featureDistance = {
  forward: entry('feature_distance', 'forward', shader, {
    tensors: {
      x: { shape: 'm c', io: 'in' },
      truth: { shape: 'm c', io: 'in' },
      weight: { shape: 'c', io: 'in', optional: true },
      y: { shape: 'm', io: 'out' },
    },
    webgpu: ({ m }) => ({ constants: { ROWS }, workgroups: grid(ceilDiv(m, ROWS)) }),
    flops: ({ m, c }) => 9 * m * c,
    tolerance: { f32: 5e-6, reason: 'differences of rounded quotients, and c squares of them summed in f32' },
  }),

  /** dx = scale·loss_scale[0]·∂Σy/∂x (see clip); for the mean over m rows, scale is 1/m. A row of zeros gets no second term. */
  backward: entry('feature_distance', 'backward', shader, {
    tensors: {
      x: { shape: 'm c', io: 'in' },
      truth: { shape: 'm c', io: 'in' },
      weight: { shape: 'c', io: 'in', optional: true },
      loss_scale: { shape: '2', io: 'in', optional: true },
      dx: { shape: 'm c', io: 'out' },
    },
    attrs: { scale: 'f32' },
    webgpu: ({ m }) => ({ constants: { ROWS }, workgroups: grid(ceilDiv(m, ROWS)) }),
    flops: ({ m, c }) => 15 * m * c,
    tolerance: { f32: 5e-6, reason: 'differences of rounded quotients, and their projection summed in f32' },
  }),
};
