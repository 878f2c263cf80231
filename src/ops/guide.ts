/**
 * y = u + (c - u)·scale: classifier-free guidance on logits (Ho and Salimans 2022). c is the first half of the rows, which are
 * conditional, and u is the second half, which are unconditional.
 */
import shader from '../../shaders/guide.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const guide = {
  forward: entry('guide', 'forward', shader, {
    tensors: { logits: { shape: 'm v', io: 'in' }, y: { shape: 'b v', io: 'out' } },
    attrs: { scale: 'f32' },
    check: ({ m, b }) =>
      m === 2 * b
        ? undefined
        : `logits has ${m} rows, expected 2b = ${2 * b}; pass the conditional rows, then the unconditional.`,
    webgpu({ v, b }) {
      const vec = v % 4 === 0 ? 4 : 1;
      return {
        constants: { WG: 256, VEC: vec },
        vec4: vec === 4 ? ['logits', 'y'] : [],
        workgroups: grid(ceilDiv((b * v) / vec, 256)),
      };
    },
    tolerance: { f32: 3e-7, reason: 'three roundings' },
  }),
};
