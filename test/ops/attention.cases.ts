import { attention } from '../../src/ops/attention.js';
import type { Gradient } from './gradient.js';
import type { OpCases } from './harness.js';

const sizes: [b: number, s: number, c: number][] = [
  [1, 1, 1],
  [1, 1, 8],
  [2, 2, 3],
  [1, 3, 4],
  [3, 5, 7],
  [1, 16, 16],
  [2, 16, 64],
  [8, 4, 12],
  [1, 17, 20],
  [1, 15, 33],
  [1, 64, 32],
  [1, 65, 16],
  [2, 63, 5],
  [1, 64, 256],
  [1, 16, 257],
  [1, 33, 512],
  [1, 130, 24],
  [1, 256, 64],
  [4, 49, 10],
  [5, 9, 6],
  [6, 8, 8],
  [7, 6, 2],
];

const cases = sizes.map(([b, s, c]) => ({ b, s, c }));

export default [
  { entry: attention.forward, cases },
  { entry: attention.backward_query, cases },
  { entry: attention.backward_key, cases },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: attention.forward,
    outputs: ['y'],
    cases: [
      { b: 2, s: 5, c: 3 },
      { b: 1, s: 1, c: 4 },
      { b: 1, s: 9, c: 6 },
    ],
    backward(be, t, { b, s }, grad, work) {
      const [q, k, v, y, dy] = [t.q!, t.k!, t.v!, t.y!, t.dy!];
      const stats = work(b!, 2, s!);
      be.run(attention.backward_query, { q, k, v, y, dy, dq: grad('q', Number.NaN), stats });
      be.run(attention.backward_key, { q, k, v, dy, stats, dk: grad('k', Number.NaN), dv: grad('v', Number.NaN) });
    },
  },
];
