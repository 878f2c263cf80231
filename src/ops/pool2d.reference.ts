/** The float64 reference of pool2d.ts, which states the equations. */
import type { pool2d } from './pool2d.js';
import type { References } from './spec.js';

export const references: References<typeof pool2d> = {
  forward({ x, y }, d) {
    for (let n = 0; n < d.b; n++)
      for (let oy = 0; oy < d.ho; oy++)
        for (let ox = 0; ox < d.wo; ox++)
          for (let c = 0; c < d.c; c++) {
            const values: number[] = [];
            for (let iy = oy * d.stride - d.pad; iy < oy * d.stride - d.pad + d.size; iy++)
              for (let ix = ox * d.stride - d.pad; ix < ox * d.stride - d.pad + d.size; ix++)
                if (iy >= 0 && ix >= 0 && iy < d.hi && ix < d.wi) values.push(x[((n * d.hi + iy) * d.wi + ix) * d.c + c]!);
            const value = d.mean ? values.reduce((sum, v) => sum + v, 0) / values.length : Math.max(...values);
            y[((n * d.ho + oy) * d.wo + ox) * d.s + d.offset + c] = value;
          }
  },

  backward({ x, dy, dx }, d) {
    dx.fill(0, 0, d.b * d.hi * d.wi * d.c);
    for (let n = 0; n < d.b; n++)
      for (let oy = 0; oy < d.ho; oy++)
        for (let ox = 0; ox < d.wo; ox++)
          for (let c = 0; c < d.c; c++) {
            let most = -1;
            for (let iy = oy * d.stride - d.pad; iy < oy * d.stride - d.pad + d.size; iy++)
              for (let ix = ox * d.stride - d.pad; ix < ox * d.stride - d.pad + d.size; ix++) {
                if (iy < 0 || ix < 0 || iy >= d.hi || ix >= d.wi) continue;
                const at = ((n * d.hi + iy) * d.wi + ix) * d.c + c;
                if (most < 0 || x[at]! > x[most]!) most = at;
              }
            // forward: y = x[most]  ⇒  dx[most] += dy
            dx[most]! += dy[((n * d.ho + oy) * d.wo + ox) * d.c + c]!;
          }
  },
};
