/** The float64 reference of silu.ts, which states the equations. */
import type { silu } from './silu.js';
import type { References } from './spec.js';

export const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** The derivative of x·σ(x). */
export const siluSlope = (x: number) => sigmoid(x) * (1 + x * (1 - sigmoid(x)));

export const references: References<typeof silu> = {
  forward({ x, y }, { m, n }) {
    for (let i = 0; i < m * n; i++) y[i] = x[i]! * sigmoid(x[i]!);
  },

  backward({ x, dy, dx }, { m, n }) {
    // forward: y = x·σ(x)  ⇒  dx = dy·σ(x)·(1 + x·(1 - σ(x)))
    for (let i = 0; i < m * n; i++) dx[i] = dy[i]! * siluSlope(x[i]!);
  },
};
