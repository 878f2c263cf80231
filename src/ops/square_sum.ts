/**
 * sums[slot + q] = Σ x² over the q-th CHUNK elements of x. This is the contribution of one gradient to the global norm, in one
 * slot for each chunk. If an element is not finite, neither is the sum.
 */
import shader from '../../shaders/square_sum.wgsl';
import { SQUARE_SUM_CHUNK as CHUNK } from './shared.js';
import { ceilDiv, entry, grid } from './spec.js';

/** Number of slots of `sums` that a tensor of n elements fills. */
export const squareSumSlots = (n: number) => ceilDiv(n, CHUNK);

export const squareSum = {
  forward: entry('square_sum', 'forward', shader, {
    tensors: { x: { shape: 'n', io: 'in' }, sums: { shape: 'k', io: 'inout' } },
    attrs: { slot: 'u32' },
    check: ({ n, k, slot }) =>
      slot + squareSumSlots(n) <= k
        ? undefined
        : `sums has ${k} slots, but x takes ${squareSumSlots(n)} from slot ${slot} on; pass at least ${slot + squareSumSlots(n)}.`,
    webgpu({ n }) {
      const vec = n % 4 === 0 ? 4 : 1;
      return { constants: { CHUNK, VEC: vec }, vec4: vec === 4 ? ['x'] : [], workgroups: grid(squareSumSlots(n)) };
    },
    tolerance: { f32: 2e-6, reason: 'a chunk of squares summed in f32, in another order' },
  }),
};
