import { tokenEmbedding } from '../../src/ops/token_embedding.js';
import type { Refusal } from './all_cases.js';
import type { Gradient } from './gradient.js';
import type { Case, OpCases } from './harness.js';

const cases = Array.from({ length: 26 }, (_, i) => {
  const b = 1 + (i % 8);
  const t = [1, 2, 4, 9, 16][i % 5]!;
  return {
    b,
    t,
    m: i % 2 ? b : 2 * b,
    l: i % 3 ? 1 : t,
    v: [1, 6, 40][i % 3]!,
    p: t + (i % 2),
    d: [1, 4, 3, 8, 64, 7, 12, 129][i % 8]!,
    shift: (i >> 1) % 2,
  };
});

const backward: Case[] = cases.map((c, i) => {
  const l = [c.t, c.t, c.t + 1, 1][i % 4]!;
  return { m: c.b, t: c.t, l, d: c.d, v: c.v, p: Math.max(1, l - 1 + (i % 3)) };
});
backward.push({ m: 3, t: 800, l: 801, d: 3, v: 2, p: 801 });

type Fill = NonNullable<OpCases['fill']>;
const tokens: Fill[string] = (random, { v }) => Math.floor(random() * (v! + 1));

// Some steps and tokens are out of range; a whole sequence (l = t) starts at or near the first row.
export default [
  {
    entry: tokenEmbedding.forward,
    cases: [...cases, ...cases.slice(0, 8).map((c) => ({ ...c, half: ['word'] }))],
    fill: { tokens, step: (random, { t, l }) => Math.floor(random() * (l === 1 ? t! + 2 : 2)) },
  },
  { entry: tokenEmbedding.backward_first, cases: backward },
  { entry: tokenEmbedding.backward_word, cases: backward, fill: { tokens } },
  { entry: tokenEmbedding.backward_pos, cases: backward },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: tokenEmbedding.forward,
    outputs: ['y'],
    cases: [
      { b: 3, m: 3, t: 4, l: 4, v: 3, p: 5, d: 2, shift: 0 },
      { b: 2, m: 2, t: 3, l: 1, v: 3, p: 1, d: 3, shift: 0 },
    ],
    fill: {
      tokens: (random, { v }) => Math.floor(random() * (v! + 1)),
    },
    backward(be, { tokens, dy }, _c, grad) {
      be.run(tokenEmbedding.backward_first, { dy: dy!, dfirst: grad('first', Number.NaN) });
      be.run(tokenEmbedding.backward_word, { tokens: tokens!, dy: dy!, dword: grad('word', 0.5) });
      be.run(tokenEmbedding.backward_pos, { dy: dy!, dpos: grad('pos', 0.5) });
    },
  },
];

export const refused: Refusal[] = [
  [tokenEmbedding.backward_word, { m: 1, t: 2, l: 4, d: 1, v: 2 }, /dy has 4 positions for 2 tokens; pass at most 3/],
  [tokenEmbedding.backward_pos, { m: 1, l: 4, d: 1, p: 2 }, /dy has 4 positions for 2 rows of dpos; pass at most 3/],
];
