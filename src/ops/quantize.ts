/**
 * codes[r] = argminᵥ ‖ẑ[r] - ê[v]‖². The hat divides a row by its length (at least 1e-12), and the lowest v wins between equal
 * distances. z and the codebook are given without normalisation. The optional `distance` gets the smallest ‖ẑ - ê‖² of each row.
 * The codebook loss and the commitment loss are both its sum divided by r·d.
 */
import shader from '../../shaders/quantize.wgsl';
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
    webgpu: ({ r, d }) => ({ constants: { D: d, ROWS }, workgroups: grid(ceilDiv(r, ROWS)) }),
    flops: ({ r, v, d }) => 3 * r * v * d,
    wasmParts: true,
    tolerance: { f32: 2e-6, reason: 'd squares of differences of two rounded quotients' },
  }),

  /**
   * Gradients of Σ dy·y + codebook_weight·mean((y - sg ẑ)²) + commitment_weight·mean((ẑ - sg y)²). y = ê[codes] is the decoder's
   * input (`codebook_lookup`), and its gradient dy passes unchanged to ẑ. sg stops a gradient. loss_scale[0] multiplies both
   * weights (see clip).
   */
  backward: entry('quantize', 'backward', shader, {
    tensors: {
      z: { shape: 'r d', io: 'in' },
      codebook: { shape: 'v d', io: 'in' },
      codes: { shape: 'r', io: 'in', dtype: 'u32' },
      dy: { shape: 'r d', io: 'in' },
      loss_scale: { shape: '2', io: 'in', optional: true },
      dz: { shape: 'r d', io: 'out' },
      dcodebook: { shape: 'v d', io: 'inout' },
    },
    attrs: { codebook_weight: 'f32', commitment_weight: 'f32' },
    webgpu: ({ r, v, d }) => ({ constants: { D: d }, workgroups: grid(ceilDiv(r, 64) + v) }),
    tolerance: { f32: 3e-6, reason: 'differences and projections of rounded quotients, summed by code' },
  }),
};
