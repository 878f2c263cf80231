/** y = x₀·SiLU(x₁), element by element, for x = [x₀ | x₁]. The middle of a gated MLP (Shazeer 2020, SwiGLU). */
import shader from '../../shaders/gated_silu.wgsl';
import { furtherKernels } from './further_kernels.js';
import { ceilDiv, entry, grid } from './spec.js';

export const gatedSilu = {
  forward: entry('gated_silu', 'forward', shader, {
    tensors: { x: { shape: 'm 2 n', io: 'in' }, y: { shape: 'm n', io: 'out' } },
    webgpu: ({ m, n }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(m * n, 256)), series: true }),
    wasmBinary: furtherKernels,
    tolerance: { f32: 1e-6, reason: 'one exp' },
  }),
  backward: entry('gated_silu', 'backward', shader, {
    tensors: {
      x: { shape: 'm 2 n', io: 'in' },
      dy: { shape: 'm n', io: 'in' },
      dx: { shape: 'm 2 n', io: 'out' },
    },
    webgpu: ({ m, n }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(m * n, 256)) }),
    tolerance: { f32: 1e-6, reason: 'one exp' },
  }),
};
