/**
 * y[b,oy,ox,c] = (x at row oy·hi/ho and column ox·wi/wo, interpolated linearly − shift)·scale, channels last. There is no offset of
 * half a pixel and no smoothing: as TensorFlow 1's resize_bilinear with align_corners = false, on whose output the FID is defined.
 */
import shader from '../../shaders/resize_bilinear.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const resizeBilinear = {
  forward: entry('resize_bilinear', 'forward', shader, {
    tensors: { x: { shape: 'b hi wi c', io: 'in' }, y: { shape: 'b ho wo c', io: 'out' } },
    batch: 'b',
    attrs: { shift: 'f32', scale: 'f32' },
    webgpu: ({ b, ho, wo, c }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(b * ho * wo * c, 256)) }),
    flops: ({ b, ho, wo, c }) => 8 * b * ho * wo * c,
    wasmParts: true,
    tolerance: { f32: 1e-6, reason: 'three interpolations in f32' },
  }),
};
