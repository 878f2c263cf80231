/**
 * y[r] = e/max(‖e‖, 1e-12) with e = codebook[codes[r]], the decoder's input for a code. Codes past the end read the last row.
 */
import shader from '../../shaders/codebook_lookup.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const codebookLookup = {
  forward: entry('codebook_lookup', 'forward', shader, {
    tensors: {
      codebook: { shape: 'v d', io: 'in' },
      codes: { shape: 'r', io: 'in', dtype: 'u32' },
      y: { shape: 'r d', io: 'out' },
    },
    webgpu: ({ r, d }) => ({ workgroups: grid(ceilDiv(r * d, 256)) }),
    tolerance: { f32: 1e-6, reason: 'd squares summed in f32, one square root' },
  }),
};
