/**
 * y[b,oy,ox,o] = bias[o] + Σ w[o,ky,kx,c]·xv[b, oy·stride+ky-pad, ox·stride+kx-pad, c] (+ residual), channels last.
 * xv is x with every pixel repeated up×up times (nearest upsampling) and zeros wherever a window passes its border, at the
 * right and the bottom as far as ho and wo ask. Weights are O H W I; 1×1 convolutions are `linear`.
 */
import shader from '../../shaders/conv2d.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

/** What every entry asks of its sizes. */
interface Geometry {
  hi: number;
  wi: number;
  kh: number;
  kw: number;
  ho: number;
  wo: number;
  stride: number;
  pad: number;
  up: number;
}

function check({ hi, wi, kh, kw, ho, wo, stride, pad, up }: Geometry): string | undefined {
  if (stride < 1 || up < 1) return `stride is ${stride} and up ${up}, expected at least 1; pass both.`;
  if (pad >= kh || pad >= kw) return `pad is ${pad}, expected less than the kernel's ${kh}×${kw}; lower pad.`;
  for (const [name, n, size] of [
    ['ho', ho, hi * up],
    ['wo', wo, wi * up],
  ] as const) {
    const most = Math.floor((size + pad - 1) / stride) + 1;
    if (n > most)
      return `${name} is ${n}, but only ${most} windows start inside the input of ${size}; make ${name} at most ${most}.`;
  }
  return undefined;
}

/** Index of the pixel that window (oy, ox) reads at (ky, kx), or -1 outside. */
function pixel(d: Geometry, oy: number, ox: number, ky: number, kx: number): number {
  const iy = Math.floor((oy * d.stride + ky - d.pad) / d.up);
  const ix = Math.floor((ox * d.stride + kx - d.pad) / d.up);
  return iy < 0 || ix < 0 || iy >= d.hi || ix >= d.wi ? -1 : iy * d.wi + ix;
}

/** Bytes of im2col rows that assembly/conv2d.ts works on at once (at least MIN_ROWS of them). */
const COLUMNS = 65536;
const MIN_ROWS = 8;

export const conv2d = {
  forward: entry('conv2d', 'forward', shader, {
    tensors: {
      x: { shape: 'b hi wi ci', io: 'in' },
      w: { shape: 'co kh kw ci', io: 'in' },
      bias: { shape: 'co', io: 'in' },
      residual: { shape: 'b ho wo co', io: 'in', optional: true },
      y: { shape: 'b ho wo co', io: 'out' },
    },
    attrs: { stride: 'u32', pad: 'u32', up: 'u32' },
    check,
    reference({ x, w, bias, residual, y }, d) {
      for (let n = 0, at = 0; n < d.b; n++)
        for (let oy = 0; oy < d.ho; oy++)
          for (let ox = 0; ox < d.wo; ox++)
            for (let o = 0; o < d.co; o++, at++) {
              let sum = bias[o]! + (residual?.[at] ?? 0);
              for (let ky = 0; ky < d.kh; ky++)
                for (let kx = 0; kx < d.kw; kx++) {
                  const p = pixel(d, oy, ox, ky, kx);
                  if (p < 0) continue;
                  for (let c = 0; c < d.ci; c++)
                    sum += w[((o * d.kh + ky) * d.kw + kx) * d.ci + c]! * x[(n * d.hi * d.wi + p) * d.ci + c]!;
                }
              y[at] = sum;
            }
    },
    webgpu: ({ b, ho, wo, ci, co }) => ({
      entry: ci % 4 === 0 ? 'forward_vec4' : 'forward',
      constants: { A_ALONG_K: 1, B_ALONG_K: 1 },
      vec4: ci % 4 === 0 ? ['x', 'w'] : [],
      workgroups: [ceilDiv(co, 64), ...grid(ceilDiv(b * ho * wo, 64))],
    }),
    flops: ({ b, ho, wo, co, kh, kw, ci }) => 2 * b * ho * wo * co * kh * kw * ci,
    wasmScratch({ co, kh, kw, ci }) {
      const row = kh * kw * ci * 4;
      return row * (ceilDiv(co, 4) * 4 + Math.max(MIN_ROWS, Math.floor(COLUMNS / row)));
    },
    tolerance: { f32: 3e-6, reason: 'kh·kw·ci products summed in f32, in another order' },
  }),
};
