/** Small operations that all parts of the model share. */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { columns } from '../ops/columns.js';
import { productOf } from '../ops/linear.js';
import { sum } from '../ops/sum.js';
import { sumRows } from '../ops/sum_rows.js';
import { widen } from '../ops/widen.js';

/** The epsilon of every RMSNorm in stage 2, added to the mean square. */
export const NORM_EPS = 1e-5;

/**
 * y = x·wᵀ (+ bias) (+ residual) over the last dimension of x. Shapes: x [..., k], w [n, k], bias [n], residual and y [..., n].
 * For one position of m sequences, x is [m, 1, k].
 */
export function linearForward(be: Backend, x: Tensor, w: Tensor, y: Tensor, bias?: Tensor, residual?: Tensor): void {
  const l = x.shape.length === 3 ? x.shape[1]! : 0;
  be.run(productOf(l), { x: rows(be, x), w, bias, residual: residual && rows(be, residual), y: rows(be, y) });
}

/** Reshapes [..., d] to [rows, d]. */
export function rows(be: Backend, t: Tensor): Tensor {
  const d = t.shape.at(-1)!;
  return be.reshape(t, [t.size / d, d]);
}

/** Reshapes a tensor to one dimension. */
export const flat = (be: Backend, t: Tensor) => be.reshape(t, [t.size]);

/** Copies the first c columns of x [..., n] to y [..., c], c ≤ n. */
export const copyFirstColumns = (be: Backend, x: Tensor, y: Tensor) =>
  be.run(columns.forward, { x: rows(be, x), y: rows(be, y) }, { offset: 0 });

/** Writes dy [..., c] to the first c columns of dx [..., n]. The other columns do not change. */
export const putFirstColumns = (be: Backend, dy: Tensor, dx: Tensor) =>
  be.run(columns.backward, { dy: rows(be, dy), dx: rows(be, dx) }, { offset: 0 });

/** y [1] = the mean of x, multiplied by `scale`. */
export const meanOf = (be: Backend, x: Tensor, y: Tensor, scale = 1) =>
  be.run(sum.forward, { x: flat(be, x), y }, { scale: scale / x.size });

/** y [1] = x [1]. */
export const copyNumber = (be: Backend, x: Tensor, y: Tensor) => be.run(sum.forward, { x, y }, { scale: 1 });

/** y += x for two tensors of equal size. */
export const addTo = (be: Backend, y: Tensor, x: Tensor) =>
  be.run(sumRows.forward, { x: be.reshape(x, [1, x.size]), y: flat(be, y) });

/** y [...] += the sum of x [n, ...] over n. Adds up the partial sums of a gradient. */
export const addSumTo = (be: Backend, y: Tensor, x: Tensor) =>
  be.run(sumRows.forward, { x: be.reshape(x, [x.size / y.size, y.size]), y: flat(be, y) });

/** A new tensor of zeros. */
export function zeros(be: Backend, shape: readonly number[]): Tensor {
  const t = be.tensor(shape);
  be.zero(t);
  return t;
}

/** Copies a float16 tensor to the float32 tensor `wide` and returns that. */
export function widened(be: Backend, t: Tensor, wide = be.tensor(t.shape)): Tensor {
  be.run(widen.forward, { x: flat(be, t), y: flat(be, wide) });
  return wide;
}
