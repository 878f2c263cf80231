/** The moving average of the weights: its decay at each step, and that it soon forgets the first weights. */
import { expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import type { TrainerOptions } from '../../src/train/options.js';
import { Trainer } from '../../src/train/trainer.js';
import { CONFIG, codesFor } from './tiny_model.js';

async function withTrainer<R>(options: Partial<TrainerOptions>, use: (aim: AiM, trainer: Trainer) => Promise<R>): Promise<R> {
  const aim = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 3 });
  const trainer = new Trainer({
    model: aim,
    data: await codesFor(aim),
    batchSize: 12,
    lr: 3e-3,
    seed: 5,
    evalEvery: 0,
    ...options,
  });
  try {
    return await use(aim, trainer);
  } finally {
    trainer.dispose();
    await aim.dispose();
  }
}

it('the decay at step t is min(emaDecay, (1 + t) / (10 + t))', async () => {
  // From the third step on the decay is the smaller one.
  const emaDecay = 0.3;
  await withTrainer({ steps: 5, emaDecay }, async (aim, trainer) => {
    const name = 'mamba.backbone.embeddings.word_embeddings.weight';
    const average = Float64Array.from(await aim.model.read(name));
    const decays = [];
    for (let t = 1; t <= 5; t++) {
      for await (const _ of trainer.run({ until: t })) void _;
      const decay = Math.min(emaDecay, (1 + t) / (10 + t));
      decays.push(decay);
      const weights = await aim.model.read(name);
      for (let i = 0; i < average.length; i++) average[i]! += (1 - decay) * (weights[i]! - average[i]!);
    }
    expect(new Set(decays).size).toBe(3);
    const kept = await trainer.withEma(() => aim.model.read(name));
    kept.forEach((v, i) => {
      expect(Math.abs(v - average[i]!)).toBeLessThan(1e-6);
    });
  });
});

it('with a decay for long runs, the average of a short one is no worse than its weights', async () => {
  await withTrainer({ steps: 40, emaDecay: 0.9999, schedule: 'constant' }, async (_aim, trainer) => {
    const { loss: first } = await trainer.evaluate();
    for await (const _ of trainer.run()) void _;
    const { loss, emaLoss } = await trainer.evaluate();
    expect(loss).toBeLessThan(0.9 * first!);
    expect(Math.abs(emaLoss! - loss!)).toBeLessThan(0.1 * (first! - loss!));
  });
});
