/** The float64 reference of quantize.ts, which states the equations. */
import { unitRow } from './codebook_lookup.reference.js';
import type { quantize } from './quantize.js';
import type { RefArray, References } from './spec.js';

/** forward: unit = x/‖x‖  ⇒  dx = (dunit - unit·(unit·dunit))/‖x‖. A row that is too short to be normalised was only scaled. */
function throughUnit(x: RefArray, i: number, d: number, unit: number[], dunit: number[]): number[] {
  const length = Math.sqrt(Array.from(x.slice(i * d, i * d + d)).reduce((sum, v) => sum + v * v, 0));
  if (length <= 1e-12) return dunit.map((g) => g / 1e-12);
  const along = dunit.reduce((sum, g, j) => sum + g * unit[j]!, 0);
  return dunit.map((g, j) => (g - unit[j]! * along) / length);
}

export const references: References<typeof quantize> = {
  forward({ z, codebook, codes, distance }, { r, v, d }) {
    const units = Array.from({ length: v }, (_, i) => unitRow(codebook, i, d));
    for (let i = 0; i < r; i++) {
      const row = unitRow(z, i, d);
      const distances = units.map((e) => e.reduce((sum, x, j) => sum + (row[j]! - x) ** 2, 0));
      const least = distances.reduce((a, b) => Math.min(a, b));
      codes[i] = distances.indexOf(least);
      if (distance) distance[i] = least;
    }
  },

  backward({ z, codebook, codes, dy, loss_scale, dz, dcodebook }, { r, d, v, codebook_weight, commitment_weight }) {
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
};
