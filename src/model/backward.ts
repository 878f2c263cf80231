/**
 * Small pieces that every part's backward shares. Gradients of activations are overwritten, those of parameters added to.
 * What they allocate is given back before they return.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { linear, sumRows } from '../ops/index.js';
import { gradientParts } from '../ops/sum_rows.js';
import { rows } from './layers.js';

export interface LinearGradients {
  x: Tensor;
  w: Tensor;
  dy: Tensor;
  /** Left out where nothing before x learns. */
  dx?: Tensor | undefined;
  dw: Tensor;
  dbias?: Tensor | undefined;
}

/** Undoes `linearForward`; the gradient of its residual is dy itself. Shapes: x and dx [..., k], dy [..., n], w and dw [n, k]. */
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
 * who came first. One part is added to the gradients themselves.
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
    const g = gradients[name]!;
    be.run(sumRows.forward, { x: be.reshape(partial!, [p, g.size]), y: be.reshape(g, [g.size]) });
    be.free(partial);
  }
}

/** y += x, element by element: where forward used a tensor twice, the gradients of its two uses. */
export function addTo(be: Backend, y: Tensor, x: Tensor): void {
  be.run(sumRows.forward, { x: be.reshape(x, [1, x.size]), y: be.reshape(y, [y.size]) });
}

export function zeros(be: Backend, shape: readonly number[]): Tensor {
  const t = be.tensor(shape);
  be.zero(t);
  return t;
}
