/**
 * y[b,oy,ox, offset + c] = the largest value, or with `mean` the mean, of x[b, oy·stride+ky-pad, ox·stride+kx-pad, c] over the
 * window's size×size pixels, channels last. Pixels outside of the image do not count, also not in the number that a mean divides
 * by. The other channels of y stay as they are.
 */
import shader from '../../shaders/pool2d.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export type Sizes = Record<'b' | 'hi' | 'wi' | 'c' | 'ho' | 'wo' | 's' | 'size' | 'stride' | 'pad' | 'mean' | 'offset', number>;

function check({ hi, wi, c, ho, wo, s, size, stride, pad, offset }: Sizes): string | undefined {
  if (size < 1 || stride < 1) return `size is ${size} and stride ${stride}, expected at least 1; pass both.`;
  if (pad >= size) return `pad is ${pad}, expected less than the window's ${size}; lower pad.`;
  if (offset + c > s) return `channels ${offset} to ${offset + c} of ${s} are to be written; lower offset or make y wider.`;
  for (const [name, n, side] of [
    ['ho', ho, hi],
    ['wo', wo, wi],
  ] as const) {
    const most = Math.floor((side + pad - 1) / stride) + 1;
    if (n > most)
      return `${name} is ${n}, but only ${most} windows start inside the input of ${side}; make ${name} at most ${most}.`;
  }
  return undefined;
}

export const pool2d = {
  forward: entry('pool2d', 'forward', shader, {
    tensors: { x: { shape: 'b hi wi c', io: 'in' }, y: { shape: 'b ho wo s', io: 'inout' } },
    batch: 'b',
    attrs: { size: 'u32', stride: 'u32', pad: 'u32', mean: 'u32', offset: 'u32' },
    check,
    webgpu: ({ b, ho, wo, c }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(b * ho * wo * c, 256)) }),
    flops: ({ b, ho, wo, c, size }) => b * ho * wo * c * size * size,
    bytes: ({ b, hi, wi, c, ho, wo }) => 4 * b * c * (hi * wi + ho * wo),
    wasmParts: true,
    tolerance: { f32: 1e-6, reason: 'size² values summed in f32' },
  }),

  /** Gradient of the largest value: dy goes to the pixel that has it, the first one in the order of rows if several do. */
  backward: entry('pool2d', 'backward', shader, {
    tensors: { x: { shape: 'b hi wi c', io: 'in' }, dy: { shape: 'b ho wo c', io: 'in' }, dx: { shape: 'b hi wi c', io: 'out' } },
    attrs: { size: 'u32', stride: 'u32', pad: 'u32' },
    check: (d) => check({ ...d, s: d.c, offset: 0, mean: 0 }),
    webgpu: ({ b, hi, wi, c }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(b * hi * wi * c, 256)) }),
    flops: ({ b, ho, wo, c, size }) => b * ho * wo * c * size * size,
    tolerance: { f32: 1e-6, reason: 'at most size² values summed in f32' },
  }),
};
