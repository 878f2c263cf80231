/** y = x·σ(x), element by element. */
import shader from '../../shaders/silu.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
/** The derivative of x·σ(x). */
export const siluSlope = (x: number) => sigmoid(x) * (1 + x * (1 - sigmoid(x)));

export const silu = {
  forward: entry('silu', 'forward', shader, {
    tensors: { x: { shape: 'm n', io: 'in' }, y: { shape: 'm n', io: 'out' } },
    reference({ x, y }, { m, n }) {
      for (let i = 0; i < m * n; i++) y[i] = x[i]! * sigmoid(x[i]!);
    },
    webgpu: ({ m, n }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(m * n, 256)) }),
    tolerance: { f32: 1e-6, reason: 'one exp' },
  }),
  backward: entry('silu', 'backward', shader, {
    tensors: { x: { shape: 'm n', io: 'in' }, dy: { shape: 'm n', io: 'in' }, dx: { shape: 'm n', io: 'out' } },
    reference({ x, dy, dx }, { m, n }) {
      // forward: y = x·σ(x)  ⇒  dx = dy·σ(x)·(1 + x·(1 - σ(x)))
      for (let i = 0; i < m * n; i++) dx[i] = dy[i]! * siluSlope(x[i]!);
    },
    webgpu: ({ m, n }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(m * n, 256)) }),
    tolerance: { f32: 1e-6, reason: 'one exp' },
  }),
};
