import { linear } from '../../src/ops/linear.js';
import type { Gradient } from './gradient.js';
import type { OpCases } from './harness.js';

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
];

const square: typeof sizes = [
  [4, 4, 4],
  [16, 64, 64],
  [70, 66, 65],
  [2, 300, 20],
  [3, 20, 300],
  [1, 1, 1],
];

// m, k, n of a step: few rows and more, by few chunks and many, whole rounds of 32 lanes and parts of one.
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
