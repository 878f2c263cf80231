import { conv2d } from '../../src/ops/conv2d.js';
import type { VariantCases } from './all_cases.js';
import type { Gradient } from './gradient.js';
import type { OpCases } from './harness.js';

/** A 3×3 convolution at the same size, with other sizes and attributes in `more`, where `pad` stands for both sides. */
const same = (b: number, hi: number, wi: number, ci: number, co: number, { pad = 1, ...more }: Record<string, number> = {}) => {
  const d = { b, hi, wi, ci, co, kh: 3, kw: 3, ho: hi, wo: wi, stride: 1, pad_y: pad, pad_x: pad, up: 1, ...more };
  return d.up > 1 ? { ...d, ho: hi * d.up, wo: wi * d.up } : d;
};
/** 3×3, stride 2, one zero row and column at the bottom and the right, as the encoder of the tokenizer downsamples. */
const down = (b: number, hi: number, wi: number, ci: number, co: number, more = {}) =>
  same(b, hi, wi, ci, co, { stride: 2, pad: 0, ho: hi >> 1, wo: wi >> 1, ...more });

const convCases = [
  same(1, 1, 1, 1, 1),
  same(1, 2, 3, 1, 2),
  same(2, 4, 4, 3, 8),
  same(1, 8, 8, 32, 32),
  same(3, 5, 7, 4, 6),
  same(8, 3, 3, 8, 3),
  same(1, 9, 8, 16, 65),
  same(1, 4, 4, 64, 17),
  same(2, 8, 8, 12, 20),
  same(1, 6, 6, 20, 36),
  same(5, 2, 2, 7, 5),
  down(1, 8, 8, 8, 8),
  down(2, 6, 10, 3, 16),
  down(4, 2, 2, 16, 4),
  down(1, 16, 16, 4, 33),
  same(1, 4, 4, 8, 8, { up: 2 }),
  same(2, 3, 5, 5, 3, { up: 2 }),
  same(1, 2, 2, 16, 16, { up: 3 }),
  same(1, 5, 5, 4, 4, { kh: 1, kw: 1, pad: 0 }),
  same(2, 6, 6, 4, 8, { kh: 5, kw: 5, pad: 2 }),
  same(1, 7, 4, 3, 4, { kh: 2, kw: 3, pad: 1, ho: 6 }),
  same(1, 6, 6, 4, 4, { stride: 3, ho: 2, wo: 2 }),
  // Rows and columns alone, and windows that reach over two sides only.
  same(2, 5, 9, 8, 12, { kh: 1, kw: 7, pad_y: 0, pad_x: 3 }),
  same(1, 9, 5, 6, 5, { kh: 7, kw: 1, pad_y: 3, pad_x: 0 }),
  same(1, 8, 8, 16, 8, { kh: 3, kw: 1, pad_x: 0 }),
  same(1, 7, 8, 4, 6, { pad_x: 0, stride: 2, ho: 4, wo: 3 }),
];

/**
 * Kernels for patches of 8 × 16 pixels: sizes just under and over a patch, several slabs of channels, sums over channels split into
 * parts (forward and backward), repeated pixels.
 */
const patchCases = [
  same(1, 8, 16, 8, 4),
  same(2, 9, 17, 16, 68),
  same(1, 7, 15, 24, 64),
  same(1, 20, 33, 8, 12),
  same(1, 5, 8, 64, 64),
  same(1, 16, 16, 128, 32),
  same(3, 5, 12, 40, 132),
  same(1, 8, 8, 32, 8, { up: 2 }),
  same(2, 5, 9, 16, 20, { up: 2 }),
  same(1, 5, 4, 8, 8, { up: 3 }),
  same(1, 6, 7, 8, 8, { pad: 0, ho: 4, wo: 5 }),
  same(1, 6, 7, 8, 8, { pad: 2, ho: 8, wo: 9 }),
  same(1, 6, 7, 8, 8, { ho: 3, wo: 7 }),
  same(2, 9, 17, 16, 20, { pad_x: 0, wo: 15 }),
  same(1, 6, 7, 8, 8, { pad_y: 2, ho: 8 }),
  same(1, 6, 18, 8, 4, { pad_y: 0, ho: 4 }),
  same(2, 9, 17, 20, 3),
  same(1, 16, 16, 64, 4),
  same(1, 4, 5, 12, 2, { up: 2 }),
  same(1, 8, 16, 128, 3),
  same(2, 16, 9, 96, 136),
  same(1, 8, 16, 8, 128),
  same(2, 9, 17, 12, 256),
];

/** Gives the weights of every second case as f16. */
const halved = <C extends object>(cases: C[]) => cases.map((c, i) => (i % 2 ? { ...c, half: ['w'] } : c));

export default [
  {
    entry: conv2d.forward,
    cases: halved([...convCases, ...patchCases]).map((c, i) => (i % 3 === 2 ? { ...c, omit: ['residual'] } : c)),
  },
  { entry: conv2d.backward_input, cases: halved([...convCases, ...patchCases]) },
  {
    entry: conv2d.backward_weight,
    cases: convCases.map((c, i) => ({ ...c, p: 1 + (i % 4), ...(i % 3 === 2 && { omit: ['dbias'] }) })),
  },
] satisfies OpCases[];

export const gradients: Gradient[] = [
  {
    entry: conv2d.forward,
    outputs: ['y'],
    cases: [
      same(2, 4, 3, 2, 3, { p: 1 }),
      { ...same(2, 4, 3, 2, 3, { p: 3 }), omit: ['residual'] },
      same(2, 4, 3, 2, 3, { up: 2, p: 2 }),
      same(2, 4, 3, 2, 3, { ho: 2, wo: 1, stride: 2, pad: 0, p: 1 }),
      same(2, 4, 3, 2, 3, { ho: 2, wo: 2, stride: 2, pad: 1, p: 1 }),
      same(2, 3, 4, 2, 3, { kh: 1, kw: 3, pad_y: 0, p: 2 }),
    ],
    backward(be, { x, w, dy }, { p, stride, pad_y, pad_x, up }, grad) {
      const attrs = { stride: stride!, pad_y: pad_y!, pad_x: pad_x!, up: up! };
      be.run(conv2d.backward_input, { w: w!, dy: dy!, dx: grad('x', Number.NaN) }, attrs);
      be.run(conv2d.backward_weight, { x: x!, dy: dy!, dw: grad('w', 0.5, p), dbias: grad('bias', 0.5, p) }, attrs);
    },
  },
];

/** At least 64 input and 33 output channels: one slab, just over one, patches just over and under, channels split into parts. */
const matrixCases = [
  same(1, 16, 16, 64, 128),
  { ...same(2, 17, 17, 32, 36), half: ['w'] },
  { ...same(1, 15, 15, 96, 132), omit: ['residual'] },
  { ...same(1, 16, 16, 256, 64), half: ['w'] },
  same(2, 8, 8, 512, 256),
  same(1, 9, 9, 64, 64, { up: 2 }),
];

export const variants: VariantCases[] = [
  { entry: conv2d.forward, cases: matrixCases, variant: 'f16', uses: 'matrix' },
  { entry: conv2d.backward_input, cases: matrixCases.filter((c) => c.up === 1), variant: 'f16', uses: 'matrix' },
];
