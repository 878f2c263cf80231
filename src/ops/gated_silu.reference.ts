/** The float64 reference of gated_silu.ts, which states the equations. */
import type { gatedSilu } from './gated_silu.js';
import { sigmoid, siluSlope } from './silu.reference.js';
import type { References } from './spec.js';

export const references: References<typeof gatedSilu> = {
  forward({ x, y }, { m, n }) {
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        const [value, gate] = [x[2 * i * n + j]!, x[(2 * i + 1) * n + j]!];
        y[i * n + j] = value * gate * sigmoid(gate);
      }
  },

  backward({ x, dy, dx }, { m, n }) {
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        const [at, atGate] = [2 * i * n + j, (2 * i + 1) * n + j];
        const g = dy[i * n + j]!;
        // forward: y = value·SiLU(gate)  ⇒  dvalue = dy·SiLU(gate), dgate = dy·value·SiLU'(gate)
        dx[at] = g * x[atGate]! * sigmoid(x[atGate]!);
        dx[atGate] = g * x[at]! * siluSlope(x[atGate]!);
      }
  },
};
