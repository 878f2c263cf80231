import { linear } from '../../src/ops/linear.js';
import type { AnyEntry } from '../../src/ops/spec.js';
import type { VariantCases } from './all_cases.js';
import type { Gradient } from './gradient.js';
import type { Case, OpCases } from './harness.js';

const sizes: [number, number, number][] = [
  // m, k, n: matrix × vector, with and without whole vectors of k
  [1, 4, 1],
  [1, 256, 7],
  [2, 64, 130],
  [3, 12, 5],
  [5, 48, 192],
  [8, 128, 33],
  [1, 3, 96],
  [7, 5, 2],
  // matrix × matrix: tiles exact, just over, tiny
  [9, 16, 9],
  [64, 16, 64],
  [65, 17, 66],
  [20, 256, 130],
  [100, 31, 3],
  [33, 1, 33],
  [128, 64, 1],
  [11, 96, 35],
  // large enough to choose between tiles
  [150, 140, 150],
];

const square: typeof sizes = [
  [4, 4, 4],
  [16, 64, 64],
  [70, 66, 65],
  [2, 300, 20],
  [3, 20, 300],
  [1, 1, 1],
];

// m, k, n of a step: few and more rows, few and many chunks, full and partial rounds of 32 lanes.
const steps: typeof sizes = [
  [1, 4, 1],
  [1, 256, 7],
  [2, 64, 130],
  [3, 12, 5],
  [5, 48, 192],
  [8, 128, 33],
  [7, 5, 2],
  [9, 16, 9],
  [16, 136, 64],
  [17, 520, 65],
  [33, 8, 66],
  [65, 264, 3],
  [130, 72, 70],
  [20, 6, 4],
];

export default [
  {
    entry: linear.forward,
    cases: [
      ...sizes.map(([m, k, n]) => ({ m, k, n })),
      ...sizes.slice(0, 6).map(([m, k, n]) => ({ m, k, n, omit: ['bias'] })),
      ...sizes.slice(8, 12).map(([m, k, n]) => ({ m, k, n, omit: ['bias', 'residual'] })),
      { m: 4, k: 32, n: 40, omit: ['residual'] },
      ...sizes.map(([m, k, n]) => ({ m, k, n, half: ['w'] })),
    ],
  },
  {
    entry: linear.step,
    cases: [
      ...steps.map(([m, k, n], i) => ({ m, k, n, omit: [[], ['bias'], ['residual'], ['bias', 'residual']][i % 4]! })),
      ...steps.map(([m, k, n]) => ({ m, k, n, half: ['w'] })),
    ],
  },
  {
    entry: linear.backward_input,
    cases: [...sizes, ...square].map(([m, k, n], i) => ({ m, k, n, ...(i % 3 === 1 && { half: ['w'] }) })),
  },
  {
    entry: linear.backward_weight,
    cases: [
      ...[...sizes, ...square].map(([m, k, n], i) => ({ m, k, n, p: 1 + (i % 3), ...(i % 4 === 1 && { omit: ['dbias'] }) })),
      { m: 300, k: 20, n: 10, p: 1 },
      { m: 520, k: 5, n: 70, p: 1 },
    ],
  },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: linear.forward,
    outputs: ['y'],
    cases: [
      { m: 3, k: 5, n: 4, p: 1 },
      { m: 5, k: 2, n: 7, p: 3, omit: ['residual'] },
      { m: 4, k: 6, n: 2, p: 2, omit: ['bias', 'residual'] },
    ],
    backward(be, { x, w, bias, dy }, { p }, grad) {
      be.run(linear.backward_input, { w: w!, dy: dy!, dx: grad('x', Number.NaN) });
      const dbias = bias && grad('bias', 0.5, p);
      be.run(linear.backward_weight, { x: x!, dy: dy!, dw: grad('w', 0.5, p), dbias });
    },
  },
];

/** Sizes for wide tiles: just over, just under and exactly whole tiles; k that ends within a slice and within a vector. */
const wide: [entry: AnyEntry, cases: Case[]][] = [
  [
    linear.forward,
    [
      { m: 1665, k: 7, n: 1795 },
      { m: 1793, k: 12, n: 1791, omit: ['bias'] },
      { m: 1792, k: 20, n: 1792, omit: ['bias', 'residual'] },
      { m: 1790, k: 16, n: 1810, half: ['w'] },
    ],
  ],
  [
    linear.backward_input,
    [
      { m: 1665, k: 1795, n: 7 },
      { m: 1793, k: 1791, n: 12 },
      { m: 1792, k: 1792, n: 20, half: ['w'] },
    ],
  ],
  [
    linear.backward_weight,
    [
      { m: 9, k: 1795, n: 1665, p: 1 },
      { m: 24, k: 1010, n: 1000, p: 3 },
      { m: 23, k: 1010, n: 1000, p: 3, omit: ['dbias'] },
      { m: 8, k: 1792, n: 1792, p: 1 },
    ],
  ],
];

/** At least 128 rows and columns: one tile, just over one, and sums over whole, ragged and single slices of 32. */
const half: [entry: AnyEntry, cases: Case[]][] = [
  [
    linear.forward,
    [
      { m: 129, k: 32, n: 128 },
      { m: 256, k: 36, n: 132, omit: ['bias', 'residual'] },
      { m: 131, k: 60, n: 260, omit: ['bias'] },
      { m: 255, k: 768, n: 384, omit: ['residual'] },
      { m: 300, k: 100, n: 200, half: ['w'] },
      { m: 256, k: 1536, n: 256, half: ['w'] },
    ],
  ],
  [
    linear.backward_input,
    [
      { m: 128, k: 128, n: 128 },
      { m: 130, k: 132, n: 148 },
      { m: 130, k: 132, n: 3352 },
      { m: 300, k: 200, n: 156, half: ['w'] },
    ],
  ],
  [
    linear.backward_weight,
    [
      { m: 128, k: 128, n: 128, p: 1 },
      { m: 131, k: 132, n: 260, p: 1 },
      { m: 131, k: 132, n: 260, p: 5, omit: ['dbias'] },
      { m: 1000, k: 256, n: 328, p: 3 },
      { m: 4096, k: 128, n: 132, p: 4 },
      // Chunks that are shorter than a slice, and one that is empty.
      { m: 130, k: 128, n: 128, p: 6 },
      { m: 129, k: 128, n: 128, p: 100 },
    ],
  ],
];

export const variants: VariantCases[] = [
  ...wide.map(([entry, cases]) => ({ entry, cases, variant: 'tile_wide', uses: 'tile_wide' }) as const),
  ...half.map(([entry, cases]) => ({ entry, cases, variant: 'f16', uses: 'tile_f16' }) as const),
];
