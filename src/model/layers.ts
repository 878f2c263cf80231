/** Small pieces that every model part shares. */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { widen } from '../ops/index.js';
import { productOf } from '../ops/linear.js';

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

/** A float32 copy of a float16 tensor, in `wide`. */
export function widened(be: Backend, t: Tensor, wide = be.tensor(t.shape)): Tensor {
  be.run(widen.forward, { x: line(be, t), y: line(be, wide) });
  return wide;
}
