/** The float64 reference of rms_norm_gated.ts, which states the equations. */
import type { rmsNormGated } from './rms_norm_gated.js';
import { sigmoid, siluSlope } from './silu.reference.js';
import type { References } from './spec.js';

export const references: References<typeof rmsNormGated> = {
  forward({ x, z, weight, y }, { m, l, e, s, groups, z_offset, eps }) {
    const width = e / groups;
    const v = new Float64Array(width);
    for (let row = 0; row < m * l; row++) {
      for (let g = 0; g < groups; g++) {
        let squares = 0;
        for (let q = 0; q < width; q++) {
          const ch = g * width + q;
          const zi = z[row * s + z_offset + ch]!;
          v[q] = x[row * e + ch]! * zi * sigmoid(zi);
          squares += v[q]! ** 2;
        }
        for (let q = 0; q < width; q++) {
          const ch = g * width + q;
          y[row * e + ch] = (v[q]! / Math.sqrt(squares / width + eps)) * weight[ch]!;
        }
      }
    }
  },

  backward({ x, z, weight, dy, dx, dz, dweight_rows }, { m, l, e, s, w, groups, z_offset, eps }) {
    const width = e / groups;
    const span = Math.ceil((m * l) / w);
    dweight_rows.fill(0);
    for (let row = 0; row < m * l; row++) {
      for (let g = 0; g < groups; g++) {
        let squares = 0;
        let inner = 0;
        for (let ch = g * width; ch < (g + 1) * width; ch++) {
          const at = row * e + ch;
          const zi = z[row * s + z_offset + ch]!;
          const v = x[at]! * zi * sigmoid(zi);
          squares += v ** 2;
          inner += dy[at]! * weight[ch]! * v;
        }
        const r = 1 / Math.sqrt(squares / width + eps);
        for (let ch = g * width; ch < (g + 1) * width; ch++) {
          const at = row * e + ch;
          const zi = z[row * s + z_offset + ch]!;
          const v = x[at]! * zi * sigmoid(zi);
          // forward: y = v·r·weight, r = (Σ v²/width + eps)^-½  ⇒  dv = dy·weight·r - v·r³·Σ(dy·weight·v)/width
          const dv = dy[at]! * weight[ch]! * r - (v * r ** 3 * inner) / width;
          // forward: v = x·SiLU(z)  ⇒  dx = dv·SiLU(z), dz = dv·x·SiLU'(z)
          dx[at] = dv * zi * sigmoid(zi);
          dz[row * s + z_offset + ch] = dv * x[at]! * siluSlope(zi);
          // forward: y = v·r·weight  ⇒  dweight += Σ dy·v·r
          const to = Math.floor(row / span) * e + ch;
          dweight_rows[to] = dweight_rows[to]! + dy[at]! * v * r;
        }
      }
    }
  },
};
