/** The backward entries of every op are the gradients of its forward entry. */
import { expect, it } from 'vitest';
import { silu } from '../../src/ops/silu.js';
import { entry } from '../../src/ops/spec.js';
import { entries, gradients } from './all_cases.js';
import { defaultGradient, gradcheck } from './gradient.js';

it('every op with a backward entry has its gradients checked', () => {
  const ops = new Set(entries.filter((e) => e.entry.startsWith('backward')).map((e) => e.op));
  expect([...new Set(gradients.map(({ entry }) => entry.op))].sort()).toEqual([...ops].sort());
});

it.each(gradients.map((check) => [check.entry.op, check] as const))('%s', async (_op, check) => {
  const wrong: string[] = [];
  for (const [i, c] of check.cases.entries()) wrong.push(...(await gradcheck(check, c, 100 + i)));
  expect(wrong).toEqual([]);
});

it('a check made from the spec notices a gradient that is added to instead of overwritten', async () => {
  const tensors = { ...silu.backward.tensors, dx: { shape: 'm n', io: 'inout' } } as const;
  const added = { ...silu.backward, tensors };
  const wrong = await gradcheck(defaultGradient(silu.forward, added, [{ m: 1, n: 2 }]), { m: 1, n: 2 }, 1);
  expect(wrong).toHaveLength(2);
  expect(wrong[0]).toMatch(/^silu\.forward .*: dx\[0\] = .*, differences give/);
});

it('a backward tensor with an unusual name is an error that names it', async () => {
  const tensors = { gradient: { shape: 'm n', io: 'in' }, dx: { shape: 'm n', io: 'out' } } as const;
  const rest = { webgpu: () => ({ workgroups: [1] as [number] }), tolerance: silu.backward.tolerance };
  const backward = entry('silu', 'backward', silu.backward.shader, { tensors, ...rest });
  const check = defaultGradient(silu.forward, backward, [{ m: 1, n: 2 }]);
  await expect(gradcheck(check, { m: 1, n: 2 }, 1)).rejects.toThrow(
    'silu.backward: gradient is no tensor of silu.forward, nor the gradient of one (d<name>)',
  );
});
