/**
 * The model's input y for row i at positions q = step[i mod b] + j, j < l. At q = 0 it is first[i], the embedding of the
 * condition for the image. After that it is word[tokens[i mod b, q-1]] + pos[q-1+shift]. The position counter is on the device,
 * so that one recorded step serves every token. Rows after the b images are the unconditional half of guidance and share the
 * images' tokens. shift is 0 for positions as in training, and 1 as in the authors' decoder. Indices past an end read the last
 * entry.
 */
import shader from '../../shaders/token_embedding.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const tokenEmbedding = {
  forward: entry('token_embedding', 'forward', shader, {
    tensors: {
      tokens: { shape: 'b t', io: 'in', dtype: 'u32' },
      step: { shape: 'b', io: 'in', dtype: 'u32' },
      first: { shape: 'm d', io: 'in' },
      word: { shape: 'v d', io: 'in', half: true },
      pos: { shape: 'p d', io: 'in' },
      y: { shape: 'm l d', io: 'out' },
    },
    attrs: { shift: 'u32' },
    check: ({ b, m }) =>
      m === b || m === 2 * b
        ? undefined
        : `first has ${m} rows for ${b} images; pass ${b}, or ${2 * b} with the unconditional rows last.`,
    webgpu({ m, l, d }) {
      const vec = d % 4 === 0 ? 4 : 1;
      return {
        constants: { WG: 256, VEC: vec },
        vec4: vec === 4 ? ['first', 'word', 'pos', 'y'] : [],
        workgroups: grid(ceilDiv((m * l * d) / vec, 256)),
      };
    },
    bytes: ({ m, l, d }) => 12 * m * l * d,
    tolerance: { f32: 1e-7, reason: 'one addition' },
  }),
  // Gradients of a whole sequence from step 0 with shift 0, as in training. Each entry computes the gradient of one input.
  backward_first: entry('token_embedding', 'backward_first', shader, {
    tensors: { dy: { shape: 'm l d', io: 'in' }, dfirst: { shape: 'm d', io: 'out' } },
    webgpu: ({ m, d }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(m * d, 256)) }),
    tolerance: { f32: 0, reason: 'a copy' },
  }),
  backward_word: entry('token_embedding', 'backward_word', shader, {
    tensors: {
      tokens: { shape: 'm t', io: 'in', dtype: 'u32' },
      dy: { shape: 'm l d', io: 'in' },
      dword: { shape: 'v d', io: 'inout' },
    },
    check: ({ t, l }) => (l <= t + 1 ? undefined : `dy has ${l} positions for ${t} tokens; pass at most ${t + 1}.`),
    webgpu: ({ d, v }) => ({ constants: { PER: ceilDiv(d, 64) }, workgroups: grid(v) }),
    tolerance: { f32: 1e-6, reason: 'the rows of a token summed in f32, in another order' },
  }),
  backward_pos: entry('token_embedding', 'backward_pos', shader, {
    tensors: { dy: { shape: 'm l d', io: 'in' }, dpos: { shape: 'p d', io: 'inout' } },
    check: ({ l, p }) => (l <= p + 1 ? undefined : `dy has ${l} positions for ${p} rows of dpos; pass at most ${p + 1}.`),
    webgpu: ({ l, d }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(l * d, 256)) }),
    tolerance: { f32: 2e-6, reason: 'm numbers summed in f32, in another order' },
  }),
};
