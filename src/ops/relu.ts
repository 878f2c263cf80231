/** y[m, offset … offset + n) = max(0, x[m,n]). The other columns of y stay as they are, so that calls can fill it side by side. */
import shader from '../../shaders/relu.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const relu = {
  forward: entry('relu', 'forward', shader, {
    tensors: { x: { shape: 'm n', io: 'in' }, y: { shape: 'm s', io: 'inout' } },
    batch: 'm',
    attrs: { offset: 'u32' },
    check: ({ n, s, offset }) =>
      offset + n > s ? `columns ${offset} to ${offset + n} of ${s} are to be written; lower offset or make y wider.` : undefined,
    webgpu: ({ m, n }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(m * n, 256)) }),
    flops: ({ m, n }) => m * n,
    bytes: ({ m, n }) => 8 * m * n,
    tolerance: { f32: 0, reason: 'a comparison' },
  }),
};
