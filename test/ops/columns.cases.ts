import { columns } from '../../src/ops/columns.js';
import type { Gradient } from './gradient.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 22 }, (_, i) => {
  const c = [1, 3, 4, 8, 48, 65][i % 6]!;
  const offset = [0, 1, 5, 32][i % 4]!;
  return { m: 1 + ((i * 7) % 20), c, offset, s: c + offset + (i % 3) * 16 };
});

export default [
  { entry: columns.forward, cases },
  { entry: columns.backward, cases },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: columns.forward,
    outputs: ['y'],
    cases: [
      { m: 3, c: 2, offset: 1, s: 4 },
      { m: 2, c: 3, offset: 0, s: 3 },
    ],
    columns: ({ offset, c }) => ({ x: [offset!, offset! + c!] }),
    backward: (be, { dy }, { offset }, grad) => be.run(columns.backward, { dy: dy!, dx: grad('x', Number.NaN) }, { offset }),
  },
];
