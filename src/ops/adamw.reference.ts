/** The float64 reference of adamw.ts, which states the equations. */
import type { adamw } from './adamw.js';
import type { References } from './spec.js';

export const references: References<typeof adamw> = {
  forward({ param, grad, m, v, hyper }, { n, decay }) {
    const [lr, beta1, beta2, eps, bias1, bias2, grad_scale, skip] = hyper as unknown as number[];
    if (skip !== 0) return;
    for (let i = 0; i < n; i++) {
      const g = grad[i]! * grad_scale!;
      m[i] = beta1! * m[i]! + (1 - beta1!) * g;
      v[i] = beta2! * v[i]! + (1 - beta2!) * g ** 2;
      param[i] = param[i]! * (1 - lr! * decay) - (lr! * (m[i]! / bias1!)) / (Math.sqrt(v[i]! / bias2!) + eps!);
    }
  },
};
