/**
 * ema += (1 - min(decay, most[0]))·(param - ema): a running average of a parameter over training. `most` limits the decay of a step
 * that is recorded; without it there is no limit.
 */
import shader from '../../shaders/ema.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const ema = {
  forward: entry('ema', 'forward', shader, {
    tensors: {
      ema: { shape: 'n', io: 'inout' },
      param: { shape: 'n', io: 'in' },
      most: { shape: '1', io: 'in', optional: true },
    },
    attrs: { decay: 'f32' },
    check: ({ decay }) => (decay >= 0 && decay < 1 ? undefined : `decay is ${decay}; pass a number from 0 to below 1.`),
    webgpu({ n }) {
      const vec = n % 4 === 0 ? 4 : 1;
      return {
        constants: { WG: 256, VEC: vec },
        vec4: vec === 4 ? ['ema', 'param'] : [],
        workgroups: grid(ceilDiv(n / vec, 256)),
      };
    },
    tolerance: { f32: 1e-6, reason: 'three roundings, and decay itself in f32' },
  }),
};
