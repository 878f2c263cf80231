/**
 * Gradients that several parts of the model use. Gradients of activations are overwritten; gradients of parameters are added to.
 * Temporary tensors are freed before a function returns.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { addRmsNorm } from '../ops/add_rms_norm.js';
import { linear } from '../ops/linear.js';
import { gradientParts, partsOf } from '../ops/sum_rows.js';
import { addSumTo, NORM_EPS, rows, zeros } from './layers.js';

/** A tensor for the gradient of an activation, in the number format of that. */
export const gradientOf = (be: Backend, t: Tensor): Tensor => be.tensor(t.shape, t.dtype);

/** Tensors of `linearBackward`. */
export interface LinearGradients {
  /** [..., k] the input. */
  x: Tensor;
  /** [n, k] the weight. */
  w: Tensor;
  /** [..., n] the gradient of the output. */
  dy: Tensor;
  /** [..., k], overwritten. Omit it if nothing before x is trained. */
  dx?: Tensor | undefined;
  /** [n, k], added to. */
  dw: Tensor;
  /** [n], added to. */
  dbias?: Tensor | undefined;
}

/** Gradient of `linearForward`. The gradient of its residual is dy itself. */
export function linearBackward(be: Backend, { x, w, dy, dx, dw, dbias }: LinearGradients): void {
  const flat = { x: rows(be, x), dy: rows(be, dy) };
  // forward: y = x·wᵀ + bias  ⇒  dx = dy·w
  if (dx) be.run(linear.backward_input, { w, dy: flat.dy, dx: rows(be, dx) });
  // ⇒  dw += dyᵀ·x, dbias += Σ dy
  addPartials(be, gradientParts(flat.x.shape[0]!, dw.size), { dw, dbias }, (to) =>
    be.run(linear.backward_weight, { ...flat, ...to }),
  );
}

/**
 * Lets `run` write p partial sums [p, ...] of each gradient, then adds them to the gradients in a fixed order, so that the result
 * does not depend on timing. With p = 1, `run` adds to the gradients directly.
 */
export function addPartials<G extends Record<string, Tensor | undefined>>(
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

/** Tensors of `normBackward`, the gradient of y = RMSNorm(sum)·weight·(1 + scale) + shift, the output of the op add_rms_norm. */
export interface NormGradients {
  /** [m, l, d] the input of the norm. */
  sum: Tensor;
  /** [d] the weight. */
  weight: Tensor;
  /** [d], added to. */
  dweight: Tensor;
  /** [m, l, d] the gradient of y. */
  dy: Tensor;
  /** [m, l, d] the gradient from other uses of `sum`, if there are any. */
  dsum?: Tensor | undefined;
  /** [m, n, d] adaLN vectors: shift and scale, then n − 2 others, which are ignored. */
  modulation?: Tensor | undefined;
  /** [m, n, d] their gradient, added to. */
  dmodulation?: Tensor | undefined;
}

/** Returns the gradient [m, l, d] of `sum`, including `dsum`. Adds to dweight and dmodulation. */
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
