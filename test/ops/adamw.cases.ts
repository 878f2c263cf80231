import { adamw, HYPER } from '../../src/ops/adamw.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 24 }, (_, i) => ({
  n: [1, 2, 3, 4, 5, 8, 255, 256, 257, 1023, 1024, 2000][i % 12]!,
  decay: i % 3 ? 0.05 : 0,
  t: [1, 2, 10, 1000][i % 4]!,
  grad_scale: i % 2 ? 0.5 : 1,
  skip: i % 8 === 5 ? 1 : 0,
}));

const hyper = (c: Record<string, number>) => ({
  ...{ lr: 1e-2, beta1: 0.9, beta2: 0.95, eps: 1e-8, bias1: 1 - 0.9 ** c.t!, bias2: 1 - 0.95 ** c.t! },
  grad_scale: c.grad_scale!,
  skip: c.skip!,
});

export default [
  {
    entry: adamw.forward,
    cases,
    fill: {
      v: (random) => random() ** 2,
      hyper: (_random, c, i) => hyper(c)[Object.keys(HYPER)[i] as keyof typeof HYPER],
    },
  },
] satisfies OpCases[];
