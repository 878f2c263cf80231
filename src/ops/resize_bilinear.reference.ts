/** The float64 reference of resize_bilinear.ts, which states the equation. */
import type { resizeBilinear } from './resize_bilinear.js';
import type { CaseSizes, References } from './spec.js';

export const sizes: CaseSizes = { shift: [0, 128, -0.5], scale: [1, 1 / 128, -2] };

/** Where output i of n lies between two of `from` inputs. */
function place(i: number, from: number, n: number) {
  const first = Math.floor((i * from) / n);
  return { first, second: Math.min(first + 1, from - 1), weight: ((i * from) % n) / n };
}

export const references: References<typeof resizeBilinear> = {
  forward({ x, y }, d) {
    for (let n = 0, at = 0; n < d.b; n++)
      for (let oy = 0; oy < d.ho; oy++)
        for (let ox = 0; ox < d.wo; ox++)
          for (let c = 0; c < d.c; c++, at++) {
            const [row, column] = [place(oy, d.hi, d.ho), place(ox, d.wi, d.wo)];
            const value = (iy: number, ix: number) => x[((n * d.hi + iy) * d.wi + ix) * d.c + c]!;
            const across = (iy: number) =>
              value(iy, column.first) * (1 - column.weight) + value(iy, column.second) * column.weight;
            const sum = across(row.first) * (1 - row.weight) + across(row.second) * row.weight;
            y[at] = (sum - d.shift) * d.scale;
          }
  },
};
