/** y = x·σ(x), element by element. */
import shader from '../../shaders/silu.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const silu = {
  forward: entry('silu', 'forward', shader, {
    tensors: { x: { shape: 'm n', io: 'in' }, y: { shape: 'm n', io: 'out' } },
    webgpu: ({ m, n }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(m * n, 256)) }),
    tolerance: { f32: 1e-6, reason: 'one exp' },
  }),
  backward: entry('silu', 'backward', shader, {
    tensors: { x: { shape: 'm n', io: 'in' }, dy: { shape: 'm n', io: 'in' }, dx: { shape: 'm n', io: 'out' } },
    webgpu: ({ m, n }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(m * n, 256)) }),
    tolerance: { f32: 1e-6, reason: 'one exp' },
  }),
};
