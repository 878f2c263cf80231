/** The backward entries of the stage-2 ops are the gradients of their forward entries. */
import { expect, it } from 'vitest';
import * as ops from '../../src/ops/index.js';
import { type GradCheck, gradcheck } from './gradcheck_stage2.js';

const { silu } = ops;

const checks: GradCheck[] = [
  {
    entry: silu.forward,
    outputs: ['y'],
    cases: [
      { m: 1, n: 1 },
      { m: 3, n: 7 },
    ],
    fill: { x: (random) => (random() - 0.5) * 12 },
    backward: (be, { x, dy }, _c, grad) => be.run(silu.backward, { x: x!, dy: dy!, dx: grad('x', Number.NaN) }),
  },
];

it.each(checks.map((check) => [check.entry.op, check] as const))('%s', async (_op, check) => {
  const wrong: string[] = [];
  for (const [i, c] of check.cases.entries()) wrong.push(...(await gradcheck(check, c, 100 + i)));
  expect(wrong).toEqual([]);
});
