/**
 * parts[q] = Σ |x - truth| over the q-th CHUNK elements. The mean absolute error is their `sum` with scale 1/n. Chunks limit the
 * number of terms in each f32 sum, and each workgroup computes one chunk.
 */
import shader from '../../shaders/mae.wgsl';
import { mseParts } from './mse.js';
import { MSE_CHUNK as CHUNK } from './shared.js';
import { ceilDiv, entry, grid } from './spec.js';

/** Number of elements that `parts` has for n numbers. */
export const maeParts = mseParts;

export const mae = {
  forward: entry('mae', 'forward', shader, {
    tensors: { x: { shape: 'n', io: 'in' }, truth: { shape: 'n', io: 'in' }, parts: { shape: 'p', io: 'out' } },
    check: ({ n, p }) =>
      p === maeParts(n) ? undefined : `parts has ${p} elements, but ${n} numbers make ${maeParts(n)}; pass that many.`,
    webgpu: ({ p }) => ({ constants: { CHUNK }, workgroups: grid(p) }),
    tolerance: { f32: 2e-6, reason: 'a chunk of magnitudes summed in f32, in another order' },
  }),

  /** For a mean over all n numbers, scale is 1/n. It is multiplied by loss_scale[0] (see clip). Where x is truth, dx is 0. */
  backward: entry('mae', 'backward', shader, {
    tensors: {
      x: { shape: 'n', io: 'in' },
      truth: { shape: 'n', io: 'in' },
      loss_scale: { shape: '2', io: 'in', optional: true },
      dx: { shape: 'n', io: 'out' },
    },
    attrs: { scale: 'f32' },
    webgpu: ({ n }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(n, 256)) }),
    tolerance: { f32: 1e-6, reason: 'a product, and scale itself in f32' },
  }),
};
