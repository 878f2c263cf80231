/** y += factor[0]·x, where the factor is a number on the device. */
import shader from '../../shaders/add_scaled.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const addScaled = {
  forward: entry('add_scaled', 'forward', shader, {
    tensors: { x: { shape: 'n', io: 'in' }, factor: { shape: '1', io: 'in' }, y: { shape: 'n', io: 'inout' } },
    webgpu: ({ n }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(n, 256)) }),
    tolerance: { f32: 1e-6, reason: 'a product and a sum' },
  }),
};
