/**
 * codes[r] = argminᵥ ‖ẑ[r] - ê[v]‖², the lowest v of equals, where ^ divides a row by its length (at least 1e-12).
 * z and the codebook come as they are, not normalised. `distance`, if asked for, is that smallest ‖ẑ - ê‖²; the codebook
 * loss and the commitment loss are both its sum divided by r·d.
 */
import shader from '../../shaders/quantize.wgsl';
import { unitRow } from './codebook_lookup.js';
import { ceilDiv, entry, grid, type RefArray } from './spec.js';

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
    wasmParts: true,
    tolerance: { f32: 2e-6, reason: 'd squares of differences of two rounded quotients' },
  }),

  /**
   * Gradients of Σ dy·y + codebook_weight·mean((y - sg ẑ)²) + commitment_weight·mean((ẑ - sg y)²), where y = ê[codes] is what
   * the decoder got (`codebook_lookup`), dy its gradient, which passes straight through to ẑ, and sg stops a gradient. loss_scale[0] multiplies both weights (see clip).
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
    reference({ z, codebook, codes, dy, loss_scale, dz, dcodebook }, { r, d, v, codebook_weight, commitment_weight }) {
      const mean = (2 * (loss_scale?.[0] ?? 1)) / (r * d);
      for (let i = 0; i < r; i++) {
        const code = Math.min(codes[i]!, v - 1);
        const unit = unitRow(z, i, d);
        const e = unitRow(codebook, code, d);
        // forward: y = ẑ + sg(ê - ẑ), loss += commitment_weight·mean((ẑ - sg ê)²)  ⇒  dẑ = dy + commitment_weight·2(ẑ - ê)/(r·d)
        const dunit = unit.map((x, j) => dy[i * d + j]! + commitment_weight * mean * (x - e[j]!));
        dz.set(throughUnit(z, i, d, unit, dunit), i * d);
        // forward: loss += codebook_weight·mean((ê - sg ẑ)²)  ⇒  dê = codebook_weight·2(ê - ẑ)/(r·d)
        const de = e.map((x, j) => codebook_weight * mean * (x - unit[j]!));
        throughUnit(codebook, code, d, e, de).forEach((g, j) => {
          dcodebook[code * d + j]! += g;
        });
      }
    },
    webgpu: ({ r, v, d }) => ({ constants: { D: d }, workgroups: grid(ceilDiv(r, 64) + v) }),
    wasmScratch: ({ v, d }) => 4 * d * (v + 2),
    tolerance: { f32: 3e-6, reason: 'differences and projections of rounded quotients, summed by code' },
  }),
};

/** forward: unit = x/‖x‖  ⇒  dx = (dunit - unit·(unit·dunit))/‖x‖; a row too short to be normalised was only scaled. */
function throughUnit(x: RefArray, i: number, d: number, unit: number[], dunit: number[]): number[] {
  const length = Math.sqrt(Array.from(x.slice(i * d, i * d + d)).reduce((sum, v) => sum + v * v, 0));
  if (length <= 1e-12) return dunit.map((g) => g / 1e-12);
  const along = dunit.reduce((sum, g, j) => sum + g * unit[j]!, 0);
  return dunit.map((g, j) => (g - unit[j]! * along) / length);
}
