/** square_sum, clip and adamw together: a clipped step equals that of torch, and gradients that are not finite change nothing. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/backend/backend.js';
import { ReferenceBackend } from '../../src/backend/reference.js';
import { adamw } from '../../src/ops/adamw.js';
import { clip } from '../../src/ops/clip.js';
import { squareSum, squareSumSlots } from '../../src/ops/square_sum.js';
import { makers, NO_ADAPTER } from '../backends.js';

/** One step on two parameters of ones; returns them, the norm and hyper. */
async function step(be: Backend, grads: number[][], max_norm: number) {
  const slots = grads.map((g) => squareSumSlots(g.length));
  const sums = be.tensor([slots.reduce((a, b) => a + b)]);
  const [lr, beta1, beta2, eps] = [0.1, 0.9, 0.95, 1e-8];
  const hyper = be.from([lr, beta1, beta2, eps, 1 - beta1, 1 - beta2, 0, 0]);
  const norm = be.tensor([1]);
  const tensors = grads.map((g) => be.from(g));
  let slot = 0;
  for (const [i, x] of tensors.entries()) {
    be.run(squareSum.forward, { x, sums }, { slot });
    slot += slots[i]!;
  }
  be.run(clip.forward, { sums, hyper, norm }, { max_norm, scale: 1 });
  const params = tensors.map((grad) => {
    const param = be.from(new Float32Array(grad.size).fill(1));
    const [m, v] = [be.from(new Float32Array(grad.size)), be.from(new Float32Array(grad.size))];
    be.run(adamw.forward, { param, grad, m, v, hyper }, { decay: 0.05 });
    return { param, m };
  });
  return {
    params: await Promise.all(params.map((p) => be.read(p.param))),
    m: await Promise.all(params.map((p) => be.read(p.m))),
    norm: (await be.read(norm))[0]!,
    hyper: await be.read(hyper),
  };
}

for (const [name, make] of Object.entries({ reference: async () => new ReferenceBackend(), ...makers })) {
  describe(name, () => {
    let be: Backend | undefined;
    beforeAll(async () => {
      be = await make();
    });
    afterAll(() => be?.dispose());

    it('adamw: gradients with a norm over max_norm are scaled by one factor', async ({ skip }) => {
      if (!be) return skip(NO_ADAPTER);
      const { params, m, norm, hyper } = await step(
        be,
        [
          [3, 0],
          [0, 0, -4],
        ],
        1,
      );
      expect(norm).toBeCloseTo(5, 5);
      expect(hyper[6]).toBeCloseTo(0.2, 5);
      expect(hyper[7]).toBe(0);
      expect(m[0]![0]).toBeCloseTo(0.1 * 0.6, 5);
      expect(m[1]![2]).toBeCloseTo(0.1 * -0.8, 5);
      // The first step of Adam is lr in the gradient's direction; decay takes lr·0.05 of the parameter first.
      expect(Array.from(params[0]!, (p) => p.toFixed(5))).toEqual(['0.89500', '0.99500']);
      expect(Array.from(params[1]!, (p) => p.toFixed(5))).toEqual(['0.99500', '0.99500', '1.09500']);
    });

    it('adamw: gradients within max_norm are left as they are', async ({ skip }) => {
      if (!be) return skip(NO_ADAPTER);
      const { hyper } = await step(
        be,
        [
          [3, 0],
          [0, 0, -4],
        ],
        10,
      );
      expect(hyper[6]).toBe(1);
    });

    it.for([Number.NaN, Number.POSITIVE_INFINITY, 1e30])('adamw: a gradient of %d skips the step', async (bad, { skip }) => {
      if (!be) return skip(NO_ADAPTER);
      const { params, m, norm, hyper } = await step(
        be,
        [
          [3, bad],
          [0, 0, -4],
        ],
        1,
      );
      // 1e30² is beyond float32 but not beyond the reference's float64.
      const skipped = name !== 'reference' || bad !== 1e30;
      expect(Number.isFinite(norm)).toBe(!skipped);
      expect(hyper[7]).toBe(skipped ? 1 : 0);
      if (skipped)
        for (const p of [...params, ...m.map((values) => values.map((x) => x + 1))]) expect(new Set(p)).toEqual(new Set([1]));
    });

    it('clip: a loss scale halves on overflow, skips that step alone, and doubles after enough good ones', async ({ skip }) => {
      if (!be) return skip(NO_ADAPTER);
      const device = be;
      const hyper = device.from([0.1, 0.9, 0.95, 1e-8, 0.1, 0.05, 0, 0]);
      const loss_scale = device.from([1024, 0]);
      const norm = device.tensor([1]);
      const seen: (number | undefined)[][] = [];
      for (const sum of [1024 ** 2, Number.POSITIVE_INFINITY, 512 ** 2, 4 * 512 ** 2, 512 ** 2]) {
        device.run(clip.forward, { sums: device.from([sum]), hyper, loss_scale, norm }, { max_norm: 1e30, scale: 1, growth: 3 });
        seen.push([(await device.read(norm))[0], (await device.read(hyper))[7], ...(await device.read(loss_scale))]);
      }
      expect(seen).toEqual([
        [1, 0, 1024, 1],
        [Number.POSITIVE_INFINITY, 1, 512, 0],
        [1, 0, 512, 1],
        [2, 0, 512, 2],
        [1, 0, 1024, 0],
      ]);
    });
  });
}
