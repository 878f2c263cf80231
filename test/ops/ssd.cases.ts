import { ssd } from '../../src/ops/ssd.js';
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

export default [
  {
    entry: ssd.forward,
    fill,
    cases: sizes.flatMap(([m, l, h, headdim, d_state, ngroups, skip], i) => {
      const e = h * headdim;
      const dims = { m, l, h, e, c: e + 2 * ngroups * d_state, s: skip + h, p: headdim, n: d_state, headdim, d_state, ngroups };
      return i % 2 ? [dims] : [dims, { ...dims, omit: ['state'] }];
    }),
  },
] satisfies OpCases[];
