/** The float64 reference of conv2d.ts, which states the equations. */
import type { conv2d, Sizes } from './conv2d.js';
import { ceilDiv, type References } from './spec.js';

/**
 * Visits every product of the convolution with its output element, output channel, tap and input pixel. Skips taps outside of x.
 */
function eachTap(d: Sizes, visit: (at: number, o: number, t: number, pixel: number) => void) {
  for (let n = 0, at = 0; n < d.b; n++)
    for (let oy = 0; oy < d.ho; oy++)
      for (let ox = 0; ox < d.wo; ox++)
        for (let o = 0; o < d.co; o++, at++)
          for (let ky = 0; ky < d.kh; ky++)
            for (let kx = 0; kx < d.kw; kx++) {
              const iy = Math.floor((oy * d.stride + ky - d.pad_y) / d.up);
              const ix = Math.floor((ox * d.stride + kx - d.pad_x) / d.up);
              if (iy < 0 || ix < 0 || iy >= d.hi || ix >= d.wi) continue;
              visit(at, o, ky * d.kw + kx, (n * d.hi + iy) * d.wi + ix);
            }
}

export const references: References<typeof conv2d> = {
  forward({ x, w, bias, residual, y }, d) {
    for (let at = 0; at < d.b * d.ho * d.wo * d.co; at++) y[at] = bias[at % d.co]! + (residual?.[at] ?? 0);
    eachTap(d, (at, o, t, p) => {
      for (let c = 0; c < d.ci; c++) y[at]! += w[(o * d.kh * d.kw + t) * d.ci + c]! * x[p * d.ci + c]!;
    });
  },

  backward_input({ w, dy, dx }, d) {
    dx.fill(0, 0, d.b * d.hi * d.wi * d.ci);
    eachTap(d, (at, o, t, p) => {
      // forward: y[oy,ox,o] += w[o,ky,kx,c]·xv[…,c]  ⇒  dxv[…,c] += w[o,ky,kx,c]·dy[oy,ox,o]
      for (let c = 0; c < d.ci; c++) dx[p * d.ci + c]! += w[(o * d.kh * d.kw + t) * d.ci + c]! * dy[at]!;
    });
  },

  backward_weight({ x, dy, dw, dbias }, d) {
    const chunk = ceilDiv(d.b * d.ho * d.wo, d.p);
    const part = (at: number) => Math.floor(at / d.co / chunk);
    eachTap(d, (at, o, t, p) => {
      // forward: y[oy,ox,o] += w[o,ky,kx,c]·xv[…,c]  ⇒  dw[o,ky,kx,c] += dy[oy,ox,o]·xv[…,c]
      const row = ((part(at) * d.co + o) * d.kh * d.kw + t) * d.ci;
      for (let c = 0; c < d.ci; c++) dw[row + c]! += dy[at]! * x[p * d.ci + c]!;
    });
    // forward: y[oy,ox,o] = bias[o] + …  ⇒  dbias[o] += dy[oy,ox,o]
    if (dbias) for (let at = 0; at < d.b * d.ho * d.wo * d.co; at++) dbias[part(at) * d.co + (at % d.co)]! += dy[at]!;
  },
};
