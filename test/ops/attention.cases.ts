import { attention } from '../../src/ops/attention.js';
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
