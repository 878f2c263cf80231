/**
 * tokens[b, step[b]++] ~ softmax(logits[b] / temperature), cut to its top_k largest logits and then to the fewest most probable
 * tokens that hold top_p of what is left (ties at either cut stay). Images with step ≥ t are left alone.
 *
 * Probabilities become integers w = round(p·2³⁰), so that every sum below is exact and in any order the same, and backends
 * agree but for the rounding of exp. With r the first word of Threefry(seed[b], (step[b], 0)), the draw is the first token
 * whose running sum of w exceeds ⌊r·Σw / 2³²⌋. Infinite logits count as the largest finite ones, NaN as the smallest.
 */
import shader from '../../shaders/sample.wgsl';
import { threefry2x32 } from '../core/random.js';
import { either } from './gemv.js';
import { ceilDiv, entry, grid } from './spec.js';

const FLOAT_MAX = (2 - 2 ** -23) * 2 ** 127;
const finite = (x: number) => (Number.isNaN(x) ? -FLOAT_MAX : Math.min(Math.max(x, -FLOAT_MAX), FLOAT_MAX));
/** Histogram bins of the assembly kernel's selection. */
const WASM_BINS = 2048;
/** Logits that a thread of the shader keeps in registers, if it may have threads enough. */
const PER_THREAD = 16;

export const sample = {
  forward: entry('sample', 'forward', shader, {
    tensors: {
      logits: { shape: 'b v', io: 'in' },
      seed: { shape: 'b 2', io: 'in', dtype: 'u32' },
      step: { shape: 'b', io: 'inout', dtype: 'u32' },
      tokens: { shape: 'b t', io: 'inout', dtype: 'u32' },
    },
    attrs: { temperature: 'f32', top_k: 'u32', top_p: 'f32' },
    check({ temperature, top_p }) {
      if (!(temperature > 2 ** -126 && temperature < 2 ** 126))
        return `temperature is ${temperature}; pass a positive number (for the most probable token, top_k 1).`;
      if (!(top_p > 0)) return `top_p is ${top_p}; pass a number above 0, or 1 to keep every token.`;
      return undefined;
    },
    reference({ logits, seed, step, tokens }, { b, v, t, temperature, top_k, top_p }) {
      for (let i = 0; i < b; i++) {
        const at = step[i]!;
        if (at >= t) continue;
        const x = Array.from(logits.subarray(i * v, (i + 1) * v), finite);
        const order = x.map((_, j) => j).sort((p, q) => x[q]! - x[p]!);
        const most = x[order[0]!]!;
        const kth = top_k > 0 && top_k < v ? x[order[top_k - 1]!]! : -FLOAT_MAX;
        const e = x.map((l) => (l >= kth ? Math.exp((l - most) / temperature) : 0));
        const z = e.reduce((p, q) => p + q, 0);
        const w = e.map((p) => Math.round((p / z) * 2 ** 30));
        const sum = () => w.reduce((p, q) => p + q, 0);
        if (top_p < 1) {
          const need = Math.ceil(top_p * sum());
          let last = -1;
          for (let held = 0; held < need; ) held += w[order[++last]!]!;
          for (let j = 0; j < v; j++) if (x[j]! < x[order[last]!]!) w[j] = 0;
        }
        const [r] = threefry2x32(seed[2 * i]!, seed[2 * i + 1]!, at, 0);
        const target = Number((BigInt(r) * BigInt(sum())) >> 32n);
        let token = 0;
        for (let run = w[0]!; run <= target; ) run += w[++token]!;
        tokens[i * t + at] = token;
        step[i] = at + 1;
      }
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
    wasmScratch: ({ v }) => 4 * (WASM_BINS + 3 * v),
    tolerance: { f32: 0, reason: 'tokens are integers' },
  }),
};
