/**
 * age[v] += 1, and where it reaches `patience`, the code v is dead and restarts as one of the features z of this batch: its row of the
 * codebook gets the direction of that row of z and keeps its length, its moments (AdamW) become 0, and its average becomes the row
 * (Dhariwal et al. 2020, arXiv 2005.00341, restart codes in this way). restarted[v] says with 1 that it did, else it is 0.
 *
 * The row of z is r1 mod r, where r1 is the first word of Threefry(draw[0..1], (draw[2], v)): the key of a seed, and a step.
 */
import shader from '../../shaders/restart_codes.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const restartCodes = {
  forward: entry('restart_codes', 'forward', shader, {
    tensors: {
      z: { shape: 'r d', io: 'in' },
      draw: { shape: '3', io: 'in', dtype: 'u32' },
      age: { shape: 'v', io: 'inout' },
      codebook: { shape: 'v d', io: 'inout' },
      m: { shape: 'v d', io: 'inout' },
      s: { shape: 'v d', io: 'inout' },
      ema: { shape: 'v d', io: 'inout', optional: true },
      restarted: { shape: 'v', io: 'out' },
    },
    attrs: { patience: 'u32' },
    check: ({ patience }) => (patience >= 1 ? undefined : `patience is ${patience}; pass a number of steps from 1.`),
    webgpu: ({ v }) => ({ workgroups: grid(ceilDiv(v, 64)) }),
    tolerance: { f32: 2e-6, reason: 'the lengths of two rows in f32' },
  }),
};
