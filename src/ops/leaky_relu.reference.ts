/** The float64 reference of leaky_relu.ts, which states the equation. */
import type { leakyRelu } from './leaky_relu.js';
import type { CaseSizes, References } from './spec.js';

export const references: References<typeof leakyRelu> = {
  forward({ x, y }, { n, slope }) {
    for (let i = 0; i < n; i++) y[i] = x[i]! > 0 ? x[i]! : slope * x[i]!;
  },

  backward({ y, dy, dx }, { n, slope }) {
    // forward: y = x for x > 0, else slope·x  ⇒  dx = dy for y > 0, else slope·dy
    for (let i = 0; i < n; i++) dx[i] = y[i]! > 0 ? dy[i]! : slope * dy[i]!;
  },
};

export const sizes: CaseSizes = { slope: [0, 0.2] };
