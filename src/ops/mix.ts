/**
 * y[m] = (1 − share[m])·x[m] + share[m]·z[m], row by row: linear interpolation. Where share is 0 or 1, y is x or z to the bit.
 */
import shader from '../../shaders/mix.wgsl';
import { furtherKernels } from './further_kernels.js';
import { ceilDiv, entry, grid } from './spec.js';

export const mix = {
  forward: entry('mix', 'forward', shader, {
    tensors: {
      x: { shape: 'm d', io: 'in' },
      z: { shape: 'm d', io: 'in' },
      share: { shape: 'm', io: 'in' },
      y: { shape: 'm d', io: 'out' },
    },
    batch: 'm',
    flops: ({ m, d }) => 4 * m * d,
    webgpu: ({ m, d }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(m * d, 256)) }),
    wasmBinary: furtherKernels,
    tolerance: { f32: 3e-7, reason: 'three roundings' },
  }),
};
