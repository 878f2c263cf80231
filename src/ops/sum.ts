/** y = scale·Σ x. With scale 1/n it is a mean. */
import shader from '../../shaders/sum.wgsl';
import { entry } from './spec.js';

export const sum = {
  forward: entry('sum', 'forward', shader, {
    tensors: { x: { shape: 'n', io: 'in' }, y: { shape: '1', io: 'out' } },
    attrs: { scale: 'f32' },
    webgpu: () => ({ workgroups: [1] }),
    tolerance: { f32: 2e-6, reason: 'n numbers (of one sign, like losses) summed in f32, in another order' },
  }),
};
