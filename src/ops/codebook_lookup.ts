/** y[r] = e/max(‖e‖, 1e-12) with e = codebook[codes[r]]: what the decoder gets for a code. Codes past the end mean the last. */
import shader from '../../shaders/codebook_lookup.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

/** Row `i` of x [·, d], divided by its length (at least 1e-12). */
export function unitRow(x: ArrayLike<number>, i: number, d: number): number[] {
  const row = Array.from({ length: d }, (_, j) => x[i * d + j]!);
  const length = Math.max(Math.sqrt(row.reduce((sum, v) => sum + v * v, 0)), 1e-12);
  return row.map((v) => v / length);
}

export const codebookLookup = {
  forward: entry('codebook_lookup', 'forward', shader, {
    tensors: {
      codebook: { shape: 'v d', io: 'in' },
      codes: { shape: 'r', io: 'in', dtype: 'u32' },
      y: { shape: 'r d', io: 'out' },
    },
    reference({ codebook, codes, y }, { r, v, d }) {
      for (let i = 0; i < r; i++) y.set(unitRow(codebook, Math.min(codes[i]!, v - 1), d), i * d);
    },
    webgpu: ({ r, d }) => ({ workgroups: grid(ceilDiv(r * d, 256)) }),
    tolerance: { f32: 1e-6, reason: 'd squares summed in f32, one square root' },
  }),
};
