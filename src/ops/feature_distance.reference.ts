/** The float64 reference of feature_distance.ts, which states the equations. */
import type { featureDistance } from './feature_distance.js';
import type { RefArray, References } from './spec.js';

const EPSILON = 1e-10;

function row(x: RefArray, i: number, c: number) {
  const values = Array.from(x.subarray(i * c, (i + 1) * c));
  const length = Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));
  return { values, length, unit: values.map((v) => v / (length + EPSILON)) };
}

export const references: References<typeof featureDistance> = {
  forward({ x, truth, weight, y }, { m, c }) {
    for (let i = 0; i < m; i++) {
      const [{ unit }, want] = [row(x, i, c), row(truth, i, c).unit];
      y[i] = unit.reduce((sum, v, j) => sum + (weight?.[j] ?? 1) * (v - want[j]!) ** 2, 0);
    }
  },

  backward({ x, truth, weight, loss_scale, dx }, { m, c, scale }) {
    const factor = scale * (loss_scale?.[0] ?? 1);
    for (let i = 0; i < m; i++) {
      const [{ values, length, unit }, want] = [row(x, i, c), row(truth, i, c).unit];
      // forward: y = Σ weight·(unit - want)²  ⇒  dunit = 2·weight·(unit - want)
      const dunit = unit.map((v, j) => 2 * factor * (weight?.[j] ?? 1) * (v - want[j]!));
      // forward: unit = x/(length + ε), length = √Σx²  ⇒  dx = dunit/(length + ε) - x·Σ(dunit·x)/((length + ε)²·length)
      const along = dunit.reduce((sum, g, j) => sum + g * values[j]!, 0);
      const back = length > 0 ? along / ((length + EPSILON) ** 2 * length) : 0;
      dunit.forEach((g, j) => {
        dx[i * c + j] = g / (length + EPSILON) - values[j]! * back;
      });
    }
  },
};
