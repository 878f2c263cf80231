import { embedding } from '../../src/ops/embedding.js';
import type { Gradient } from './gradient.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 24 }, (_, i) => ({
  v: [1, 2, 5, 17, 64, 300][i % 6]!,
  d: [1, 4, 3, 8, 64, 7, 12, 257][i % 8]!,
  m: [1, 2, 3, 4, 5, 6, 7, 8, 40][i % 9]!,
}));

// More ids than one tile of the shader's search, and rows with many ids.
const backward = [
  ...cases.map((c) => ({ ...c, v: Math.min(c.v, 30) })),
  { v: 3, d: 5, m: 2050 },
  { v: 9, d: 130, m: 300 },
  { v: 1, d: 65, m: 33 },
];

// Some ids lie past the end of the table.
const fill = { ids: (random: () => number, { v }: Record<string, number>) => Math.floor(random() * (v! + 1)) };

export default [
  { entry: embedding.forward, cases, fill },
  { entry: embedding.backward, cases: backward, fill },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: embedding.forward,
    outputs: ['y'],
    cases: [
      { v: 4, d: 3, m: 7 },
      { v: 1, d: 2, m: 2 },
    ],
    fill: { ids: (random, { v }) => Math.floor(random() * (v! + 1)) },
    backward: (be, { ids, dy }, _c, grad) => be.run(embedding.backward, { ids: ids!, dy: dy!, dtable: grad('table', 0.5) }),
  },
];
