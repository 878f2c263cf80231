import { selectiveScanBackward } from '../../src/model/scan_backward.js';
import { selectiveScan } from '../../src/ops/selective_scan.js';
import type { Refusal } from './all_cases.js';
import type { Gradient } from './gradient.js';
import type { OpCases } from './harness.js';
import { normal } from './harness.js';

// m, l, e, n, then what bc holds before B and z's rows hold before z
const sizes: [number, number, number, number, number, number][] = [
  [1, 1, 8, 16, 2, 8],
  [2, 1, 48, 16, 3, 48],
  [8, 1, 33, 16, 1, 33],
  [1, 1, 1, 1, 0, 0],
  [3, 2, 5, 3, 1, 5],
  [1, 3, 4, 4, 0, 4],
  [2, 4, 7, 8, 2, 7],
  [1, 5, 32, 16, 4, 32],
  [2, 7, 36, 16, 3, 36],
  [1, 17, 65, 16, 5, 65],
  [4, 9, 20, 12, 2, 0],
  [2, 6, 3, 64, 1, 3],
  [1, 33, 6, 17, 1, 6],
  [5, 4, 10, 2, 3, 10],
  [1, 64, 12, 16, 1, 12],
];

// More for backward: chunks exact, just over, several, and blocks of channels likewise (64, 32 or 16 of them).
const extra: typeof sizes = [
  [1, 16, 16, 16, 1, 16],
  [2, 15, 17, 5, 0, 17],
  [1, 40, 9, 32, 2, 9],
  [3, 16, 2, 33, 1, 2],
  [1, 31, 18, 9, 4, 18],
  [2, 18, 5, 40, 1, 5],
  [8, 3, 4, 6, 2, 4],
  [1, 17, 64, 16, 3, 64],
  [2, 20, 131, 16, 1, 131],
  [1, 34, 35, 20, 0, 35],
];

export const fill: OpCases['fill'] = {
  // Mostly steps of the size in trained models, with both extremes of the softplus.
  dt: (random, _dims, i) => (i % 7 === 0 ? (random() - 0.5) * 60 : normal(random) - 2),
  A_log: (random, { n }, i) => Math.log(1 + (i % n!)) + 0.3 * (random() - 0.5),
};

// Workspace sizes: chunks of 16 positions, blocks of 256 / lanes channels.
const backwardCases = [...sizes, ...extra].map(([m, l, e, n, r, skip]) => {
  const block = n <= 16 ? 64 : n <= 32 ? 32 : 16;
  return { m, l, e, n, s: r + 2 * n, f: skip + e, k: Math.ceil(l / 16), b: Math.ceil(e / block), w: 2 * n };
});

export default [
  {
    entry: selectiveScan.forward,
    fill,
    cases: sizes.flatMap(([m, l, e, n, r, skip], i) => {
      const dims = { m, l, e, n, s: r + 2 * n, f: skip + e };
      return i % 2 ? [dims] : [dims, { ...dims, omit: ['state'] }];
    }),
  },
  { entry: selectiveScan.backward_states, fill, cases: backwardCases },
  { entry: selectiveScan.backward_gate, cases: backwardCases },
  { entry: selectiveScan.backward, fill, cases: backwardCases },
  { entry: selectiveScan.backward_sum, cases: backwardCases },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: selectiveScan.forward,
    outputs: ['y'],
    cases: [
      { m: 2, l: 3, e: 5, n: 3, s: 8, f: 9 },
      { m: 1, l: 18, e: 2, n: 4, s: 8, f: 2 },
      { m: 1, l: 1, e: 18, n: 2, s: 5, f: 20 },
    ].map((c) => ({ ...c, omit: ['state'] })),
    columns: ({ n, s, e, f }) => ({ bc: [s! - 2 * n!, s!], z: [f! - e!, f!] }),
    backward(be, t, _c, grad) {
      const [x, dt, A_log, bc, D, z, dy] = [t.x!, t.dt!, t.A_log!, t.bc!, t.D!, t.z!, t.dy!];
      const overwritten = {
        dx: grad('x', Number.NaN),
        ddt: grad('dt', Number.NaN),
        dbc: grad('bc', Number.NaN),
        dz: grad('z', Number.NaN),
      };
      const added = { dA_log: grad('A_log', 0.5), dD: grad('D', 0.5) };
      selectiveScanBackward(be, { x, dt, A_log, bc, D, z, dy, ...overwritten, ...added });
    },
  },
];

export const refused: Refusal[] = [
  [selectiveScan.forward, { m: 1, l: 1, e: 4, n: 65, s: 130, f: 4 }, /selective_scan.forward: A_log has n = 65 .*; set d_state/],
  [selectiveScan.forward, { m: 1, l: 1, e: 4, n: 16, s: 31, f: 4 }, /bc has rows of s = 31, .*; pass x_proj's whole output/],
  [selectiveScan.forward, { m: 1, l: 1, e: 4, n: 16, s: 33, f: 3 }, /z has rows of f = 3, .*; pass in_proj's whole output/],
  [selectiveScan.backward, { m: 1, l: 17, e: 4, n: 16, s: 32, k: 1, b: 1, w: 32 }, /states keeps k = 1 .*, expected 2 .*; run/],
  [selectiveScan.backward, { m: 1, l: 17, e: 4, n: 16, s: 32, k: 2, b: 2, w: 32 }, /parts is \[m, l, 2, 32\], expected .*; run/],
];
