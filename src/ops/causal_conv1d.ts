/**
 * y[t] = SiLU(bias + Σⱼ weight[j]·x[t-(k-1)+j]) for each channel separately. The last tap is multiplied with the current input.
 * The op reads the channels of x from `offset` on. Inputs before position 0 come from the state, which holds the last k-1 inputs,
 * oldest first. Without a state they are zero. Afterwards the state holds the last k-1 inputs of the call, so that a later call
 * can continue the sequence, even one token at a time (l = 1).
 */
import shader from '../../shaders/causal_conv1d.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

const MAX_TAPS = 8;
/**
 * Positions in a part of a sequence. They are many compared with the k-1 positions that are computed twice between two parts.
 */
const SPAN = 32;

/** Number of rows of partial sums that `backward` writes for m sequences of l positions. */
export const convParts = (m: number, l: number) => m * ceilDiv(l, SPAN);

/** Checks the sizes that both entries share. Returns what is wrong with them, or undefined. */
function misfit({ s, c, k, offset }: Record<'s' | 'c' | 'k' | 'offset', number>): string | undefined {
  if (k < 1 || k > MAX_TAPS) return `weight has ${k} taps; use 1 to ${MAX_TAPS} (d_conv).`;
  if (offset + c > s)
    return `x has ${s} channels, expected at least offset + c = ${offset + c}; lower offset or pass the wider x.`;
  return undefined;
}

export const causalConv1d = {
  forward: entry('causal_conv1d', 'forward', shader, {
    tensors: {
      x: { shape: 'm l s', io: 'in', half: true },
      weight: { shape: 'c 1 k', io: 'in' },
      bias: { shape: 'c', io: 'in' },
      state: { shape: 'm c q', io: 'inout', optional: true },
      y: { shape: 'm l c', io: 'out', half: true },
    },
    attrs: { offset: 'u32' },
    check: (d) =>
      misfit(d) ??
      (d.q === 0 || d.q === d.k - 1
        ? undefined
        : `state holds ${d.q} inputs, expected k-1 = ${d.k - 1}; pass [m, c, ${d.k - 1}].`),
    webgpu({ m, l, c, k, q }) {
      // Parts that run at the same time cannot pass a state from one to the next.
      const span = q === 0 ? SPAN : l;
      return { constants: { WG: 64, K: k, SPAN: span }, workgroups: grid(ceilDiv(m * ceilDiv(l, span) * c, 64)) };
    },
    flops: ({ m, l, c, k }) => 2 * m * l * c * k,
    wasmParts: true,
    tolerance: { f32: 2e-6, reason: 'k products and an exp' },
  }),
  /**
   * Starts from a zero state. Writes dx into the channels from `offset` on of a tensor like x, and leaves its other channels
   * alone. Writes sums over each of the w / m parts of every sequence for the gradients of weight and bias, which sum_rows adds
   * up.
   */
  backward: entry('causal_conv1d', 'backward', shader, {
    tensors: {
      x: { shape: 'm l s', io: 'in', half: true },
      weight: { shape: 'c 1 k', io: 'in' },
      bias: { shape: 'c', io: 'in' },
      dy: { shape: 'm l c', io: 'in', half: true },
      dx: { shape: 'm l s', io: 'inout', half: true },
      dweight_rows: { shape: 'w c k', io: 'out' },
      dbias_rows: { shape: 'w c', io: 'out' },
    },
    attrs: { offset: 'u32' },
    check: (d) =>
      misfit(d) ??
      (d.w >= d.m && d.w % d.m === 0
        ? undefined
        : `dbias_rows has ${d.w} rows for ${d.m} sequences; pass the same number for each (convParts).`),
    webgpu: ({ w, c, k }) => ({ constants: { WG: 64, K: k }, workgroups: grid(ceilDiv(w * c, 64)) }),
    flops: ({ m, l, c, k }) => 6 * m * l * c * k,
    wasmParts: true,
    tolerance: { f32: 3e-6, reason: 'sums over k and over positions in f32, in another order, and an exp' },
  }),
};
