/**
 * The model's input y at positions q = step[i mod b] + j, j < l, of row i: q = 0 is first[i], the embedding of what the image
 * is to show; after it comes word[tokens[i mod b, q-1]] + pos[q-1+shift]. The position counter lives on the device, so that one
 * recorded step serves every token. Rows beyond the b images are the unconditional half of guidance and share the images'
 * tokens. The trained positions have shift 0, the authors' decoder shift 1. Indices past an end read the last entry.
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
    reference({ tokens, step, first, word, pos, y }, { b, t, m, d, v, p, l, shift }) {
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < l; j++) {
          const q = step[i % b]! + j;
          for (let ch = 0; ch < d; ch++) {
            const at = (i * l + j) * d + ch;
            if (q === 0) {
              y[at] = first[i * d + ch]!;
            } else {
              const before = Math.min(q - 1, t - 1);
              const token = Math.min(tokens[(i % b) * t + before]!, v - 1);
              y[at] = word[token * d + ch]! + pos[Math.min(before + shift, p - 1) * d + ch]!;
            }
          }
        }
      }
    },
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
  // Gradients of a whole sequence from step 0 with shift 0, as in training; of one input each.
  backward_first: entry('token_embedding', 'backward_first', shader, {
    tensors: { dy: { shape: 'm l d', io: 'in' }, dfirst: { shape: 'm d', io: 'out' } },
    reference({ dy, dfirst }, { m, l, d }) {
      for (let i = 0; i < m; i++) {
        // forward: y[i,0] = first[i]  ⇒  dfirst[i] = dy[i,0]
        for (let ch = 0; ch < d; ch++) dfirst[i * d + ch] = dy[i * l * d + ch]!;
      }
    },
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
    reference({ tokens, dy, dword }, { m, t, l, d, v }) {
      for (let i = 0; i < m; i++) {
        for (let q = 1; q < l; q++) {
          const row = Math.min(tokens[i * t + q - 1]!, v - 1);
          // forward: y[i,q] = word[tokens[i,q-1]] + pos[q-1]  ⇒  dword[tokens[i,q-1]] += dy[i,q]
          for (let ch = 0; ch < d; ch++) dword[row * d + ch] = dword[row * d + ch]! + dy[(i * l + q) * d + ch]!;
        }
      }
    },
    webgpu: ({ d, v }) => ({ constants: { PER: ceilDiv(d, 64) }, workgroups: grid(v) }),
    tolerance: { f32: 1e-6, reason: 'the rows of a token summed in f32, in another order' },
  }),
  backward_pos: entry('token_embedding', 'backward_pos', shader, {
    tensors: { dy: { shape: 'm l d', io: 'in' }, dpos: { shape: 'p d', io: 'inout' } },
    check: ({ l, p }) => (l <= p + 1 ? undefined : `dy has ${l} positions for ${p} rows of dpos; pass at most ${p + 1}.`),
    reference({ dy, dpos }, { m, l, d }) {
      for (let i = 0; i < m; i++) {
        for (let q = 1; q < l; q++) {
          // forward: y[i,q] = word[tokens[i,q-1]] + pos[q-1]  ⇒  dpos[q-1] += dy[i,q]
          for (let ch = 0; ch < d; ch++) dpos[(q - 1) * d + ch] = dpos[(q - 1) * d + ch]! + dy[(i * l + q) * d + ch]!;
        }
      }
    },
    webgpu: ({ l, d }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(l * d, 256)) }),
    tolerance: { f32: 2e-6, reason: 'm numbers summed in f32, in another order' },
  }),
};
