/**
 * codes[r] = argminᵥ ‖ẑ[r] - ê[v]‖², the lowest v of equals, where ^ divides a row by its length (at least 1e-12).
 * z and the codebook come as they are, not normalised. `distance`, if asked for, is that smallest ‖ẑ - ê‖²; the codebook
 * loss and the commitment loss are both its sum divided by r·d.
 */
import shader from '../../shaders/quantize.wgsl';
import { unitRow } from './codebook_lookup.js';
import { ceilDiv, entry, grid } from './spec.js';

/** Rows of z that a workgroup compares with each code it reads. */
const ROWS = 8;

export const quantize = {
  forward: entry('quantize', 'forward', shader, {
    tensors: {
      z: { shape: 'r d', io: 'in' },
      codebook: { shape: 'v d', io: 'in' },
      codes: { shape: 'r', io: 'out', dtype: 'u32' },
      distance: { shape: 'r', io: 'out', optional: true },
    },
    reference({ z, codebook, codes, distance }, { r, v, d }) {
      const units = Array.from({ length: v }, (_, i) => unitRow(codebook, i, d));
      for (let i = 0; i < r; i++) {
        const row = unitRow(z, i, d);
        const distances = units.map((e) => e.reduce((sum, x, j) => sum + (row[j]! - x) ** 2, 0));
        const least = distances.reduce((a, b) => Math.min(a, b));
        codes[i] = distances.indexOf(least);
        if (distance) distance[i] = least;
      }
    },
    webgpu: ({ r, d }) => ({ constants: { D: d, ROWS }, workgroups: grid(ceilDiv(r, ROWS)) }),
    flops: ({ r, v, d }) => 3 * r * v * d,
    wasmScratch: ({ v, d }) => 4 * d * (ceilDiv(v, 4) * 4 + 1),
    tolerance: { f32: 2e-6, reason: 'd squares of differences of two rounded quotients' },
  }),
};
