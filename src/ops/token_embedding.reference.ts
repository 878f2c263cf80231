/** The float64 reference of token_embedding.ts, which states the equations. */
import type { References } from './spec.js';
import type { tokenEmbedding } from './token_embedding.js';

export const references: References<typeof tokenEmbedding> = {
  forward({ tokens, step, first, word, pos, y }, { b, t, m, d, v, p, l, shift }) {
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

  backward_first({ dy, dfirst }, { m, l, d }) {
    for (let i = 0; i < m; i++) {
      // forward: y[i,0] = first[i]  ⇒  dfirst[i] = dy[i,0]
      for (let ch = 0; ch < d; ch++) dfirst[i * d + ch] = dy[i * l * d + ch]!;
    }
  },

  backward_word({ tokens, dy, dword }, { m, t, l, d, v }) {
    for (let i = 0; i < m; i++) {
      for (let q = 1; q < l; q++) {
        const row = Math.min(tokens[i * t + q - 1]!, v - 1);
        // forward: y[i,q] = word[tokens[i,q-1]] + pos[q-1]  ⇒  dword[tokens[i,q-1]] += dy[i,q]
        for (let ch = 0; ch < d; ch++) dword[row * d + ch] = dword[row * d + ch]! + dy[(i * l + q) * d + ch]!;
      }
    }
  },

  backward_pos({ dy, dpos }, { m, l, d }) {
    for (let i = 0; i < m; i++) {
      for (let q = 1; q < l; q++) {
        // forward: y[i,q] = word[tokens[i,q-1]] + pos[q-1]  ⇒  dpos[q-1] += dy[i,q]
        for (let ch = 0; ch < d; ch++) dpos[(q - 1) * d + ch] = dpos[(q - 1) * d + ch]! + dy[(i * l + q) * d + ch]!;
      }
    }
  },
};
