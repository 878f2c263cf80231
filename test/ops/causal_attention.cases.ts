import { causalAttention } from '../../src/ops/causal_attention.js';
import type { Refusal } from './all_cases.js';
import type { Gradient } from './gradient.js';
import type { Case, OpCases } from './harness.js';

/** Heads of queries, heads of keys, channels: few widths, since a software GPU compiles kernels for each. */
const HEADS: [h: number, g: number, c: number][] = [
  [1, 1, 3],
  [2, 1, 16],
  [4, 2, 4],
  [3, 3, 3],
  [1, 1, 65],
  [6, 3, 4],
  [2, 2, 16],
  [4, 1, 3],
  [2, 1, 132],
];
/** Positions, around blocks of 16 queries and 64 keys. */
const LENGTHS = [1, 2, 17, 5, 16, 33, 3, 65, 4, 9];

const whole: Case[] = Array.from({ length: 22 }, (_, i) => {
  const [h, g, c] = HEADS[i % HEADS.length]!;
  return { m: i % 4 ? 1 : 2, l: LENGTHS[i % LENGTHS.length]!, n: h + 2 * g, c, h, scale: [c ** -0.5, 0.3][i % 2]! };
});
const none = ['keys', 'values', 'step'];

/** With a cache: mostly one position, in caches below and above the threads of a workgroup. */
const cached: Case[] = Array.from({ length: 22 }, (_, i) => {
  const [h, g, c] = HEADS[i % HEADS.length]!;
  const l = i % 4 === 3 ? [2, 17, 5][Math.floor(i / 4) % 3]! : 1;
  const b = 1 + (i % 2);
  const t = Math.max(l, [1, 7, 64, 300, 20][i % 5]!);
  return { m: i % 3 ? b : 2 * b, l, n: h + 2 * g, c, t, g, b, h, scale: c ** -0.5, omit: i % 2 ? ['lse'] : [] };
});

/** Some counters are past the end. */
const fill = { step: (random: () => number, { t }: Record<string, number>) => Math.floor(random() * (t! + 2)) };

export default [
  { entry: causalAttention.forward, cases: whole.map((c) => ({ ...c, omit: none })) },
  { entry: causalAttention.forward, cases: cached, fill },
  // lse is larger than any score, so that no exponential overflows.
  { entry: causalAttention.backward, cases: whole, fill: { lse: (random: () => number) => 4 + random() } },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: causalAttention.forward,
    outputs: ['y'],
    cases: [
      { m: 2, l: 4, n: 4, c: 3, h: 2, scale: 0.7, omit: none },
      { m: 1, l: 3, n: 8, c: 2, h: 4, scale: 0.5, omit: none },
    ],
    backward: (be, { qkv, y, lse, dy }, { scale }, grad) =>
      be.run(
        causalAttention.backward,
        { qkv: qkv!, y: y!, lse: lse!, dy: dy!, dqkv: grad('qkv', Number.NaN) },
        { scale: scale! },
      ),
  },
];

const good = { m: 2, l: 1, n: 8, c: 4, t: 5, g: 2, b: 1, h: 4, scale: 1 };
export const refused: Refusal[] = [
  [causalAttention.forward, { ...good, n: 7 }, /qkv has 7 heads and y 4; qkv needs those 4 and twice a divisor of 4/],
  [causalAttention.forward, { ...good, c: 257 }, /heads have 257 channels; use at most 256/],
  [causalAttention.forward, { ...good, omit: ['step'] }, /a cache needs keys, values and step; pass all three or none/],
  [causalAttention.forward, { ...good, g: 1 }, /the cache has 1 heads, expected 2 as in qkv/],
  [causalAttention.forward, { ...good, m: 3 }, /qkv has 3 rows for 1 counters/],
  [causalAttention.forward, { ...good, l: 6 }, /6 positions do not fit into a cache of 5/],
  [causalAttention.backward, { ...good, n: 4 }, /qkv has 4 heads and y 4/],
];
