/**
 * Gradients that several parts need. Gradients of activations are overwritten, those of parameters are added to.
 * What these functions allocate is freed before they return.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { addRmsNorm } from '../ops/add_rms_norm.js';
import { linear } from '../ops/linear.js';
import { gradientParts, partsOf } from '../ops/sum_rows.js';
import { addSumTo, NORM_EPS, rows, zeros } from './layers.js';

export interface LinearGradients {
  x: Tensor;
  w: Tensor;
  dy: Tensor;
  /** Left out where nothing before x is trained. */
  dx?: Tensor | undefined;
  dw: Tensor;
  dbias?: Tensor | undefined;
}

/** Gradient of `linearForward`; that of its residual is dy itself. Shapes: x and dx [..., k], dy [..., n], w and dw [n, k]. */
export function linearBackward(be: Backend, { x, w, dy, dx, dw, dbias }: LinearGradients): void {
  const flat = { x: rows(be, x), dy: rows(be, dy) };
  // forward: y = x·wᵀ + bias  ⇒  dx = dy·w
  if (dx) be.run(linear.backward_input, { w, dy: flat.dy, dx: rows(be, dx) });
  // ⇒  dw += dyᵀ·x, dbias += Σ dy
  inParts(be, gradientParts(flat.x.shape[0]!, dw.size), { dw, dbias }, (to) =>
    be.run(linear.backward_weight, { ...flat, ...to }),
  );
}

/**
 * Has `run` add p partial sums [p, ...] of each gradient, then adds those up in order, so that the sum does not depend on
 * which was ready first. A single partial sum is added to the gradients themselves.
 */
export function inParts<G extends Record<string, Tensor | undefined>>(
  be: Backend,
  p: number,
  gradients: G,
  run: (to: G) => void,
): void {
  const to: Record<string, Tensor | undefined> = {};
  for (const [name, g] of Object.entries(gradients)) {
    if (g) to[name] = p === 1 ? be.reshape(g, [1, ...g.shape]) : zeros(be, [p, ...g.shape]);
  }
  run(to as G);
  if (p === 1) return;
  for (const [name, partial] of Object.entries(to)) {
    addSumTo(be, gradients[name]!, partial!);
    be.free(partial);
  }
}

/** Gradient of y = RMSNorm(sum)·weight·(1 + scale) + shift, the output of add_rms_norm. */
export interface NormGradients {
  /** [m, l, d] what was normalised. */
  sum: Tensor;
  /** [d] */
  weight: Tensor;
  /** [d], added to. */
  dweight: Tensor;
  dy: Tensor;
  /** [m, l, d] the gradient of the sum's other uses. */
  dsum?: Tensor | undefined;
  /** [m, n, d] adaLN vectors, shift and scale first, and their gradient, added to. */
  modulation?: Tensor | undefined;
  dmodulation?: Tensor | undefined;
}

/** The gradient of the sum [m, l, d]. */
export function normBackward(be: Backend, { sum, weight, dweight, dy, dsum, modulation, dmodulation }: NormGradients): Tensor {
  const [m, l, d] = sum.shape as [number, number, number];
  const dres = be.tensor(sum.shape);
  const rows = be.tensor([m, partsOf(m, l), 2, d]);
  be.run(addRmsNorm.backward, { sum, weight, modulation, dy, dsum, dres, rows }, { eps: NORM_EPS });
  const dweight_rows = be.tensor([m, d]);
  be.run(addRmsNorm.backward_params, { rows, weight, modulation, dmodulation, dweight_rows });
  addSumTo(be, dweight, dweight_rows);
  be.free(rows, dweight_rows);
  return dres;
}
