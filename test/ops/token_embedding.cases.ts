import { tokenEmbedding } from '../../src/ops/token_embedding.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 26 }, (_, i) => {
  const b = 1 + (i % 8);
  const t = [1, 2, 4, 9, 16][i % 5]!;
  return {
    b,
    t,
    m: i % 2 ? b : 2 * b,
    l: i % 3 ? 1 : t,
    c: [1, 3, 11][i % 3]!,
    v: [1, 6, 40][i % 3]!,
    p: t + (i % 2),
    d: [1, 4, 3, 8, 64, 7, 12, 129][i % 8]!,
    shift: (i >> 1) % 2,
  };
});

// Some steps, tokens and labels lie past their ends; a whole sequence (l = t) starts at or near the class.
export default [
  {
    entry: tokenEmbedding.forward,
    cases,
    fill: {
      step: (random, { t, l }) => Math.floor(random() * (l === 1 ? t! + 2 : 2)),
      tokens: (random, { v }) => Math.floor(random() * (v! + 1)),
      labels: (random, { c }) => Math.floor(random() * (c! + 1)),
    },
  },
] satisfies OpCases[];
