/**
 * tokens[b, step[b]++] ~ softmax(logits[b] / temperature), cut to the top_k largest logits, then to the fewest most probable
 * tokens that together have top_p of the remaining probability, and to those at least exp(log_min_p) times as probable as the most
 * probable one (min-p, Nguyen et al. 2024). Ties at a cut stay. Images with step ≥ t are left alone. The first kept[b] tokens of an
 * image are there already and stay: only the step advances.
 *
 * Probabilities become integers w = round(p·2³⁰), so that every sum is exact in any order, and backends agree up to the rounding
 * of exp. If r is noise[b, step[b]] or, without noise, the first word of Threefry(seed[b], (step[b], 0)), the draw is the first
 * token for which the running sum of w exceeds ⌊r·Σw / 2³²⌋. Infinite logits count as the largest finite ones, and NaN as the smallest.
 */
import shader from '../../shaders/sample.wgsl';
import { either } from './gemv.js';
import { ceilDiv, entry, grid } from './spec.js';

/** As log_min_p: cuts only tokens whose weight is 0 in any case. */
export const NO_MIN_P = -100;

/** Logits that a thread of the shader holds in registers, if the device allows enough threads. */
const PER_THREAD = 16;

export const sample = {
  forward: entry('sample', 'forward', shader, {
    tensors: {
      logits: { shape: 'b v', io: 'in' },
      seed: { shape: 'b 2', io: 'in', dtype: 'u32' },
      kept: { shape: 'b', io: 'in', dtype: 'u32', optional: true },
      noise: { shape: 'b t', io: 'in', dtype: 'u32', optional: true },
      step: { shape: 'b', io: 'inout', dtype: 'u32' },
      tokens: { shape: 'b t', io: 'inout', dtype: 'u32' },
    },
    attrs: { temperature: 'f32', top_k: 'u32', top_p: 'f32', log_min_p: 'f32' },
    check({ temperature, top_p, log_min_p }) {
      if (!(temperature > 2 ** -126 && temperature < 2 ** 126))
        return `temperature is ${temperature}; pass a positive number (for the most probable token, top_k 1).`;
      if (!(top_p > 0)) return `top_p is ${top_p}; pass a number above 0, or 1 to keep every token.`;
      if (!(log_min_p <= 0)) return `log_min_p is ${log_min_p}; pass the logarithm of a number from 0 to 1, or ${NO_MIN_P}.`;
      return undefined;
    },
    webgpu({ b, v }, caps) {
      let wg = 256;
      while (wg < 1024 && 2 * wg <= caps.maxInvocations && wg * PER_THREAD < v) wg *= 2;
      const quad = v % 4 ? 'sample/by_one' : 'sample/by_four';
      return {
        ...either(caps, ['sample/shuffle', quad], ['sample/shared', quad]),
        constants: { WG: wg, PER: 4 * ceilDiv(v, 4 * wg) },
        vec4: v % 4 ? [] : ['logits'],
        workgroups: grid(b),
      };
    },
    tolerance: { f32: 0, reason: 'tokens are integers' },
  }),
};
