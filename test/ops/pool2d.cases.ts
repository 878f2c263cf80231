import { pool2d } from '../../src/ops/pool2d.js';
import type { Refusal } from './all_cases.js';
import type { Gradient } from './gradient.js';
import type { OpCases } from './harness.js';

/** Windows of 3×3 pixels at stride 1 in the same size, with other sizes and attributes in `more`. */
const same = (b: number, hi: number, wi: number, c: number, more = {}) => ({
  ...{ b, hi, wi, c, ho: hi, wo: wi, s: c, size: 3, stride: 1, pad: 1, mean: 0, offset: 0 },
  ...more,
});
/** 3×3 at stride 2 without pixels outside. */
const down = (b: number, hi: number, wi: number, c: number, more = {}) =>
  same(b, hi, wi, c, { stride: 2, pad: 0, ho: (hi - 1) >> 1, wo: (wi - 1) >> 1, ...more });

const shapes = [
  same(1, 1, 1, 1),
  same(2, 3, 4, 5),
  same(1, 7, 5, 8, { s: 20, offset: 3 }),
  same(1, 4, 4, 16, { s: 32, offset: 16 }),
  same(3, 2, 2, 257),
  down(1, 3, 3, 4),
  down(2, 9, 7, 6),
  down(1, 8, 8, 12, { s: 40, offset: 20 }),
  same(2, 8, 8, 7, { size: 8, pad: 0, ho: 1, wo: 1 }),
  same(1, 5, 9, 3, { size: 2, pad: 0, stride: 2, ho: 3, wo: 5 }),
  same(1, 6, 6, 4, { size: 5, pad: 4, ho: 9, wo: 8 }),
  same(1, 3, 3, 2, { size: 1, pad: 0 }),
];

export default [
  { entry: pool2d.forward, cases: shapes.flatMap((c) => [c, { ...c, mean: 1 }]) },
  // Whole numbers, so that several pixels of a window are the largest.
  {
    entry: pool2d.backward,
    cases: [...shapes, ...Array.from({ length: 8 }, (_, i) => (i % 2 ? down : same)(1 + (i % 3), 3 + i, 11 - i, 1 + 2 * i))],
    fill: { x: (random) => Math.floor(4 * random()) },
  },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: pool2d.forward,
    outputs: ['y'],
    cases: [same(1, 5, 4, 2, { size: 2, pad: 0, stride: 2, ho: 3, wo: 2 }), same(2, 3, 4, 1)],
    backward: (be, { x, dy }, { size, stride, pad }, grad) =>
      be.run(pool2d.backward, { x: x!, dy: dy!, dx: grad('x', Number.NaN) }, { size, stride, pad }),
  },
];

export const refused: Refusal[] = [
  [pool2d.forward, same(1, 4, 4, 2, { pad: 3 }), /pad is 3/],
  [pool2d.forward, same(1, 4, 4, 2, { offset: 1 }), /channels 1 to 3 of 2/],
  [pool2d.forward, same(1, 4, 4, 2, { ho: 6 }), /only 5 windows start inside/],
];
