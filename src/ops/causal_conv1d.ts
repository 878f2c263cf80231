/**
 * y[t] = SiLU(bias + Σⱼ weight[j]·x[t-(k-1)+j]) in each channel on its own; the last tap is the current token. Channels
 * offset.. of x are read. Inputs before position 0 are the state's (the last k-1 inputs, oldest first) or zero; the state then
 * becomes the last k-1 inputs, so a sequence may be continued, down to a token at a time (l = 1).
 */
import shader from '../../shaders/causal_conv1d.wgsl';
import { sigmoid } from './silu.js';
import { ceilDiv, entry, grid } from './spec.js';

const MAX_TAPS = 8;

export const causalConv1d = {
  forward: entry('causal_conv1d', 'forward', shader, {
    tensors: {
      x: { shape: 'm l s', io: 'in' },
      weight: { shape: 'c 1 k', io: 'in' },
      bias: { shape: 'c', io: 'in' },
      state: { shape: 'm c q', io: 'inout', optional: true },
      y: { shape: 'm l c', io: 'out' },
    },
    attrs: { offset: 'u32' },
    check({ s, c, k, q, offset }) {
      if (k < 1 || k > MAX_TAPS) return `weight has ${k} taps; use 1 to ${MAX_TAPS} (d_conv).`;
      if (q !== 0 && q !== k - 1) return `state holds ${q} inputs, expected k-1 = ${k - 1}; pass [m, c, ${k - 1}].`;
      if (offset + c > s)
        return `x has ${s} channels, expected at least offset + c = ${offset + c}; lower offset or pass the wider x.`;
      return undefined;
    },
    reference({ x, weight, bias, state, y }, { m, l, s, c, k, offset }) {
      for (let i = 0; i < m; i++) {
        for (let ch = 0; ch < c; ch++) {
          const past = Array.from({ length: k - 1 }, (_, j) => state?.[(i * c + ch) * (k - 1) + j] ?? 0);
          const all = [...past, ...Array.from({ length: l }, (_, t) => x[(i * l + t) * s + offset + ch]!)];
          for (let t = 0; t < l; t++) {
            let u = bias[ch]!;
            for (let j = 0; j < k; j++) u += weight[ch * k + j]! * all[t + j]!;
            y[(i * l + t) * c + ch] = u * sigmoid(u);
          }
          if (state) for (let j = 0; j < k - 1; j++) state[(i * c + ch) * (k - 1) + j] = all[l + j]!;
        }
      }
    },
    webgpu: ({ m, c, k }) => ({ constants: { WG: 64, K: k }, workgroups: grid(ceilDiv(m * c, 64)) }),
    flops: ({ m, l, c, k }) => 2 * m * l * c * k,
    tolerance: { f32: 2e-6, reason: 'k products and an exp' },
  }),
};
