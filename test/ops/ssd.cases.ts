import { ssdBackward } from '../../src/model/scan_backward.js';
import { ssd } from '../../src/ops/ssd.js';
import type { Refusal } from './all_cases.js';
import type { Gradient } from './gradient.js';
import type { OpCases } from './harness.js';
import { normal } from './harness.js';

// m, l, heads, headdim, d_state, ngroups, what zxbcdt's rows hold before dt
const sizes: [number, number, number, number, number, number, number][] = [
  [1, 1, 2, 64, 128, 1, 20],
  [2, 1, 8, 16, 16, 1, 7],
  [8, 1, 1, 8, 12, 1, 0],
  [1, 1, 1, 1, 1, 1, 1],
  [3, 2, 4, 3, 5, 2, 2],
  [1, 3, 2, 4, 4, 2, 4],
  [2, 4, 6, 7, 8, 3, 7],
  [1, 5, 2, 16, 32, 1, 32],
  [2, 7, 3, 10, 20, 3, 6],
  [1, 17, 1, 5, 3, 1, 5],
  [4, 9, 2, 6, 2, 2, 0],
  [1, 9, 1, 33, 64, 1, 3],
  [1, 33, 2, 6, 17, 2, 6],
  [5, 4, 2, 2, 36, 1, 10],
  [1, 64, 2, 12, 16, 1, 12],
];

export const fill: OpCases['fill'] = {
  zxbcdt: (random, _dims, i) => (i % 7 === 0 ? (random() - 0.5) * 60 : normal(random)),
  dt_bias: (random) => normal(random) - 2,
  A_log: (random) => Math.log(1 + 15 * random()),
};

// More for backward: several groups of heads, tiles of rows exact and just over, no whole vectors.
const extra: typeof sizes = [
  [1, 16, 4, 8, 16, 2, 4],
  [2, 15, 2, 17, 5, 1, 3],
  [1, 20, 3, 4, 132, 1, 9],
  [3, 8, 1, 20, 37, 1, 1],
  [1, 3, 1, 300, 4, 1, 1],
  [8, 3, 2, 2, 4, 1, 6],
  [2, 10, 6, 5, 7, 3, 0],
];

const dimsOf = ([m, l, h, headdim, d_state, ngroups, skip]: (typeof sizes)[number]) => {
  const e = h * headdim;
  return { m, l, h, e, c: e + 2 * ngroups * d_state, s: skip + h, p: headdim, n: d_state, headdim, d_state, ngroups };
};
const backwardCases = [...sizes, ...extra].map(dimsOf);

// Blocks of 64 positions, rows and states exact, just under and over; and longer than is taken in blocks.
const blocks: typeof sizes = [
  [1, 63, 2, 8, 16, 1, 4],
  [2, 64, 2, 4, 8, 2, 3],
  [1, 65, 2, 12, 20, 1, 1],
  [1, 128, 2, 68, 4, 1, 0],
  [2, 130, 4, 16, 16, 2, 5],
  [1, 190, 1, 8, 68, 1, 2],
  [1, 1030, 1, 4, 4, 1, 1],
  // So many sequences that a workgroup takes several heads: two, an odd number of heads, and all of a group.
  [300, 5, 4, 4, 4, 1, 1],
  [300, 3, 5, 4, 4, 1, 0],
  [450, 3, 4, 4, 4, 2, 0],
];
const blockCases = blocks.map(dimsOf);
const without = (cases: typeof blockCases) => cases.map((c) => ({ ...c, omit: ['state'] }));

// Decays: nearly 1, to zero within a few positions, to zero at once, and to zero at some positions.
const decays: OpCases['fill'][] = [
  { zxbcdt: (random) => normal(random) - 6, dt_bias: () => 0, A_log: (random) => random() - 1 },
  { zxbcdt: (random) => normal(random), dt_bias: () => -1, A_log: (random) => Math.log(1 + 4 * random()) },
  { zxbcdt: (random) => 3 * normal(random) + 3, dt_bias: () => 0, A_log: () => Math.log(16) },
  { zxbcdt: (_random, _dims, i) => (i % 11 < 2 ? 2 : -9), dt_bias: () => 0, A_log: () => Math.log(12) },
];
const long: typeof sizes = [
  [1, 192, 2, 8, 8, 1, 1],
  [1, 150, 1, 4, 12, 1, 2],
];
const longCases = long.map(dimsOf);

export default [
  {
    entry: ssd.forward,
    fill,
    cases: sizes.flatMap((size, i) => (i % 2 ? [dimsOf(size)] : [dimsOf(size), { ...dimsOf(size), omit: ['state'] }])),
  },
  { entry: ssd.forward, fill, cases: without(blockCases) },
  { entry: ssd.backward, fill, cases: [...backwardCases, ...blockCases] },
  // Sums that do not cancel: the tolerance is against their size.
  { entry: ssd.backward_sum, fill: { grads: (random) => 1 + random() }, cases: backwardCases },
  ...decays.flatMap((decay) => [
    { entry: ssd.forward, fill: decay, cases: without(longCases) },
    { entry: ssd.backward, fill: decay, cases: longCases },
  ]),
] satisfies OpCases[];

const ssdGradients: Gradient['backward'] = (be, t, { ngroups, headdim, d_state }, grad) => {
  const [xbc, zxbcdt, A_log, dt_bias, D, dy] = [t.xbc!, t.zxbcdt!, t.A_log!, t.dt_bias!, t.D!, t.dy!];
  const overwritten = { dxbc: grad('xbc', Number.NaN), dzxbcdt: grad('zxbcdt', Number.NaN) };
  const added = { dA_log: grad('A_log', 0.5), ddt_bias: grad('dt_bias', 0.5), dD: grad('D', 0.5) };
  const attrs = { ngroups: ngroups!, headdim: headdim!, d_state: d_state! };
  ssdBackward(be, { xbc, zxbcdt, A_log, dt_bias, D, dy, ...overwritten, ...added }, attrs);
};

export const gradients: Gradient[] = [
  {
    entry: ssd.forward,
    outputs: ['y'],
    cases: (
      [
        [2, 5, 4, 3, 5, 2, 3],
        [1, 9, 2, 2, 4, 1, 0],
        [2, 1, 1, 4, 3, 1, 2],
      ] as typeof sizes
    ).map((size) => ({ ...dimsOf(size), omit: ['state'] })),
    columns: ({ s, h }) => ({ zxbcdt: [s! - h!, s!] }),
    backward: ssdGradients,
  },
  {
    entry: ssd.forward,
    outputs: ['y'],
    cases: [{ ...dimsOf([2, 12, 4, 2, 3, 1, 0]), omit: ['state'] }],
    // Zero decays between ordinary ones.
    fill: { zxbcdt: (random) => 10 * normal(random) },
    columns: ({ s, h }) => ({ zxbcdt: [s! - h!, s!] }),
    backward: ssdGradients,
  },
];

export const refused: Refusal[] = (
  [
    [{ headdim: 0 }, /ssd.forward: the attribute headdim is 0; pass/],
    [{ ngroups: 3 }, /2 heads do not divide into ngroups = 3; pass/],
    [{ e: 9 }, /e = 9 is not h·headdim = 2·4; pass/],
    [{ c: 17 }, /xbc has rows of c = 17, expected .* = 18; pass/],
    [{ s: 1 }, /zxbcdt has rows of s = 1, .*; pass/],
    [{ p: 2 }, /state holds heads of 2 × 5, expected headdim × d_state = 4 × 5; pass/],
  ] as const
).map(([wrong, message]) => [
  ssd.forward,
  { m: 1, l: 1, h: 2, e: 8, c: 18, s: 3, p: 4, n: 5, headdim: 4, d_state: 5, ngroups: 1, ...wrong },
  message,
]);
