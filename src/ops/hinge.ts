/**
 * y = scale·Σ max(0, 1 - sign·x), the hinge loss of a discriminator's logits x, which are to be above 1 for real images (sign 1) and
 * below -1 for others (sign -1). With `linear` it is -scale·Σ sign·x, the generator's loss (Lim & Ye 2017, arXiv 1705.02894).
 */
import shader from '../../shaders/hinge.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

const check = ({ sign }: { sign: number }) => (sign === 1 || sign === -1 ? undefined : `sign is ${sign}; pass 1 or -1.`);

export const hinge = {
  forward: entry('hinge', 'forward', shader, {
    tensors: { x: { shape: 'n', io: 'in' }, y: { shape: '1', io: 'out' } },
    attrs: { sign: 'f32', scale: 'f32', linear: 'u32' },
    check,
    webgpu: () => ({ workgroups: [1] }),
    tolerance: { f32: 2e-6, reason: 'n numbers summed in f32, in another order' },
  }),

  /** dx = ∂y/∂x, multiplied by loss_scale[0] (see clip). */
  backward: entry('hinge', 'backward', shader, {
    tensors: {
      x: { shape: 'n', io: 'in' },
      loss_scale: { shape: '2', io: 'in', optional: true },
      dx: { shape: 'n', io: 'out' },
    },
    attrs: { sign: 'f32', scale: 'f32', linear: 'u32' },
    check,
    webgpu: ({ n }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(n, 256)) }),
    tolerance: { f32: 1e-6, reason: 'a product, and scale itself in f32' },
  }),
};
