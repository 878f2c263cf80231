/** y[i] = Σⱼ softmaxⱼ(q[i]·k[j]·c^-½)·v[j]: one head over all s positions, as in the tokenizer's AttnBlock. */
import shader from '../../shaders/attention.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

/** Queries of a workgroup, and of a block of assembly/attention.ts. */
const GPU_QUERIES = 16;
const WASM_QUERIES = 32;
const pad4 = (n: number) => ceilDiv(n, 4) * 4;

/** Row i of the softmax of q·kᵀ·c^-½ in sequence n. */
export function attentionRow(q: ArrayLike<number>, k: ArrayLike<number>, n: number, i: number, s: number, c: number): number[] {
  const scores = Array.from({ length: s }, (_, j) => {
    let dot = 0;
    for (let e = 0; e < c; e++) dot += q[(n * s + i) * c + e]! * k[(n * s + j) * c + e]!;
    return dot / Math.sqrt(c);
  });
  const most = scores.reduce((a, b) => Math.max(a, b));
  const weights = scores.map((v) => Math.exp(v - most));
  const sum = weights.reduce((a, b) => a + b);
  return weights.map((v) => v / sum);
}

export const attention = {
  forward: entry('attention', 'forward', shader, {
    tensors: {
      q: { shape: 'b s c', io: 'in' },
      k: { shape: 'b s c', io: 'in' },
      v: { shape: 'b s c', io: 'in' },
      y: { shape: 'b s c', io: 'out' },
    },
    reference({ q, k, v, y }, { b, s, c }) {
      for (let n = 0; n < b; n++)
        for (let i = 0; i < s; i++) {
          const p = attentionRow(q, k, n, i, s, c);
          for (let e = 0; e < c; e++) {
            let sum = 0;
            for (let j = 0; j < s; j++) sum += p[j]! * v[(n * s + j) * c + e]!;
            y[(n * s + i) * c + e] = sum;
          }
        }
    },
    webgpu: ({ b, s, c }) => ({
      constants: { CHANNELS: ceilDiv(c, 256) },
      workgroups: [ceilDiv(s, GPU_QUERIES), ...grid(b)],
    }),
    flops: ({ b, s, c }) => 4 * b * s * s * c,
    wasmScratch: ({ s, c }) => 4 * (pad4(s) * c + s * pad4(c) + WASM_QUERIES * s),
    tolerance: { f32: 5e-6, reason: 'scores of c products in f32 pass an exp, then s products are summed' },
  }),
};
