/**
 * parts[q] = Σ (x - truth)² over the q-th CHUNK elements. The mean squared error is their `sum` with scale 1/n. Chunks limit the
 * number of terms in each f32 sum, and each workgroup computes one chunk.
 */
import shader from '../../shaders/mse.wgsl';
import { MSE_CHUNK as CHUNK } from './shared.js';
import { ceilDiv, entry, grid } from './spec.js';

/** Number of elements that `parts` has for n numbers. */
export const mseParts = (n: number) => ceilDiv(n, CHUNK);

export const mse = {
  forward: entry('mse', 'forward', shader, {
    tensors: { x: { shape: 'n', io: 'in' }, truth: { shape: 'n', io: 'in' }, parts: { shape: 'p', io: 'out' } },
    check: ({ n, p }) =>
      p === mseParts(n) ? undefined : `parts has ${p} elements, but ${n} numbers make ${mseParts(n)}; pass that many.`,
    webgpu: ({ p }) => ({ constants: { CHUNK }, workgroups: grid(p) }),
    tolerance: { f32: 2e-6, reason: 'a chunk of squares summed in f32, in another order' },
  }),

  /** For a mean over all n numbers, scale is 1/n. It is multiplied by loss_scale[0] (see clip). */
  backward: entry('mse', 'backward', shader, {
    tensors: {
      x: { shape: 'n', io: 'in' },
      truth: { shape: 'n', io: 'in' },
      loss_scale: { shape: '2', io: 'in', optional: true },
      dx: { shape: 'n', io: 'out' },
    },
    attrs: { scale: 'f32' },
    webgpu({ n }) {
      const vec = n % 4 === 0 ? 4 : 1;
      return {
        constants: { WG: 256, VEC: vec },
        vec4: vec === 4 ? ['x', 'truth', 'dx'] : [],
        workgroups: grid(ceilDiv(n / vec, 256)),
      };
    },
    tolerance: { f32: 1e-6, reason: 'two roundings, and scale itself in f32' },
  }),
};
