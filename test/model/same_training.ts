/** Compares the training of a model on two devices. */
import { expect } from 'vitest';
import type { AiM } from '../../src/aim.js';
import { bringKernels } from '../../src/train/kernels.js';
import { compareAfter, trainingRun } from '../../src/verify/training.js';

const largest = (values: ArrayLike<number>) =>
  Array.prototype.reduce.call(values, (m, v) => Math.max(m as number, Math.abs(v)), 0) as number;

/** Expects the losses, gradients and results of AdamW steps, five by default, to agree, for a batch of one sequence per label. */
export async function expectSameTraining(aim: AiM, wanted: AiM, labels: readonly number[], steps?: number): Promise<void> {
  const { num_tokens: T, vocab_size: V } = aim.config;
  const tokens = Uint32Array.from({ length: labels.length * T }, (_, i) => (i * 31 + Math.floor(i / T) * 7) % V);
  const run = async ({ model }: AiM) => {
    bringKernels(model.be);
    return trainingRun(model, { params: model.params, tokens, labels: Uint32Array.from(labels), steps });
  };
  const [got, want] = [await run(aim), await run(wanted)];
  got.losses.forEach((loss, i) => {
    expect(Math.abs(loss / want.losses[i]! - 1)).toBeLessThan(1e-4);
  });
  const wrong: string[] = [];
  for (const [param, grad] of want.grads) {
    const worst = largest(grad.map((g, i) => g - got.grads.get(param)![i]!));
    if (!(worst <= 1e-3 * largest(grad))) wrong.push(`gradient of ${param}: ${worst} off, of ${largest(grad)}`);
    const { share, maxAbs } = compareAfter(got.after.get(param)!, want.after.get(param)!, grad, 1e-6);
    if (!(share <= 1)) wrong.push(`${param} after the steps: ${maxAbs} off`);
  }
  expect(want.grads.size).toBeGreaterThan(15);
  expect(wrong).toEqual([]);
}
