/** y = x for x > 0, else slope·x. With slope 0 it is ReLU. */
import shader from '../../shaders/leaky_relu.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const leakyRelu = {
  forward: entry('leaky_relu', 'forward', shader, {
    tensors: { x: { shape: 'n', io: 'in' }, y: { shape: 'n', io: 'out' } },
    attrs: { slope: 'f32' },
    webgpu: ({ n }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(n, 256)) }),
    tolerance: { f32: 1e-6, reason: 'slope in f32' },
  }),
  /** Reads y, which has the sign of x where the slope is positive, and is 0 where x ≤ 0 for slope 0. */
  backward: entry('leaky_relu', 'backward', shader, {
    tensors: { y: { shape: 'n', io: 'in' }, dy: { shape: 'n', io: 'in' }, dx: { shape: 'n', io: 'out' } },
    attrs: { slope: 'f32' },
    webgpu: ({ n }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(n, 256)) }),
    tolerance: { f32: 1e-6, reason: 'slope in f32' },
  }),
};
