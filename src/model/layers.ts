/** Small steps that every model part shares. */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { columns } from '../ops/columns.js';
import { productOf } from '../ops/linear.js';
import { sum } from '../ops/sum.js';
import { sumRows } from '../ops/sum_rows.js';
import { widen } from '../ops/widen.js';

/** Added to the mean square in every RMSNorm of stage 2. */
export const NORM_EPS = 1e-5;

/**
 * y = x·wᵀ (+ bias) (+ residual) over the last dimension of x, whatever the leading ones are; one position of m sequences is
 * [m, 1, k]. Shapes: w [n, k].
 */
export function linearForward(be: Backend, x: Tensor, w: Tensor, y: Tensor, bias?: Tensor, residual?: Tensor): void {
  const l = x.shape.length === 3 ? x.shape[1]! : 0;
  be.run(productOf(l), { x: rows(be, x), w, bias, residual: residual && rows(be, residual), y: rows(be, y) });
}

/** [..., d] as [rows, d]. */
export function rows(be: Backend, t: Tensor): Tensor {
  const d = t.shape.at(-1)!;
  return be.reshape(t, [t.size / d, d]);
}

/** The tensor as one dimension. */
export const line = (be: Backend, t: Tensor) => be.reshape(t, [t.size]);

/** y [..., c] = the first c of the last dimension of x [..., n], c ≤ n. */
export const copyFirstColumns = (be: Backend, x: Tensor, y: Tensor) =>
  be.run(columns.forward, { x: rows(be, x), y: rows(be, y) }, { offset: 0 });

/** Writes dy [..., c] into the first c of the last dimension of dx [..., n]; the others stay as they are. */
export const putFirstColumns = (be: Backend, dy: Tensor, dx: Tensor) =>
  be.run(columns.backward, { dy: rows(be, dy), dx: rows(be, dx) }, { offset: 0 });

/** y [1] = the mean of x, times `scale`. */
export const meanOf = (be: Backend, x: Tensor, y: Tensor, scale = 1) =>
  be.run(sum.forward, { x: line(be, x), y }, { scale: scale / x.size });

/** y [1] = x [1]. */
export const copyNumber = (be: Backend, x: Tensor, y: Tensor) => be.run(sum.forward, { x, y }, { scale: 1 });

/** y += x, element by element. */
export const addTo = (be: Backend, y: Tensor, x: Tensor) =>
  be.run(sumRows.forward, { x: be.reshape(x, [1, x.size]), y: line(be, y) });

/** y [...] += the sum of x [n, ...] over n: how the partial sums of a gradient are added up. */
export const addSumTo = (be: Backend, y: Tensor, x: Tensor) =>
  be.run(sumRows.forward, { x: be.reshape(x, [x.size / y.size, y.size]), y: line(be, y) });

/** A tensor of zeros. */
export function zeros(be: Backend, shape: readonly number[]): Tensor {
  const t = be.tensor(shape);
  be.zero(t);
  return t;
}

/** A float32 copy of a float16 tensor, in `wide`. */
export function widened(be: Backend, t: Tensor, wide = be.tensor(t.shape)): Tensor {
  be.run(widen.forward, { x: line(be, t), y: line(be, wide) });
  return wide;
}
