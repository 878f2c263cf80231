/**
 * y = u + (c - u)·w: classifier-free guidance on logits (Ho and Salimans 2022). c is the first half of the rows, which are
 * conditional, and u is the second half, which are unconditional. w is `scale` or, where `scales` are given, the one of the
 * position that the image has come to: scales[step], or the last.
 */
import shader from '../../shaders/guide.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

/** What a kernel that guides takes. `step` counts the positions drawn so far; left out, it is 0. */
export const GUIDED = {
  logits: { shape: 'm v', io: 'in' },
  scales: { shape: 't', io: 'in', optional: true },
  step: { shape: 'b', io: 'in', dtype: 'u32', optional: true },
  y: { shape: 'b v', io: 'out' },
} as const;

/** What is wrong with the rows of a call, if anything is. */
export const checkRows = ({ m, b }: { m: number; b: number }) =>
  m === 2 * b ? undefined : `logits has ${m} rows, expected 2b = ${2 * b}; pass the conditional rows, then the unconditional.`;

export const guide = {
  forward: entry('guide', 'forward', shader, {
    tensors: GUIDED,
    attrs: { scale: 'f32' },
    check: checkRows,
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
