/**
 * y[n] += Σₚ x[p,n]: the second half of a parameter's gradient whose partial sums several workgroups made. Always summed in
 * the same order, so training is reproducible.
 */
import shader from '../../shaders/sum_parts.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

/** Numbers of a gradient that one workgroup makes, and how many workgroups are enough to fill a GPU. */
const TILE = 64 * 64;
const WORKGROUPS = 256;
/** Fewer rows than this are not worth a partial sum of their own. */
const LEAST_ROWS = 512;

/** Into how many partial sums `backward_weight` should divide a sum over `rows` for a gradient of `size` numbers. */
export function gradientParts(rows: number, size: number): number {
  return Math.max(1, Math.min(Math.floor(WORKGROUPS / ceilDiv(size, TILE)), Math.floor(rows / LEAST_ROWS)));
}

export const sumParts = {
  forward: entry('sum_parts', 'forward', shader, {
    tensors: { x: { shape: 'p n', io: 'in' }, y: { shape: 'n', io: 'inout' } },
    reference({ x, y }, { p, n }) {
      for (let i = 0; i < p; i++) for (let j = 0; j < n; j++) y[j]! += x[i * n + j]!;
    },
    webgpu: ({ n }) => ({ workgroups: grid(ceilDiv(n, 256)) }),
    tolerance: { f32: 1e-6, reason: 'p numbers summed in f32' },
  }),
};
