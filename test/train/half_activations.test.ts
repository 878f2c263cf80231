/** Training whose activations and their gradients are stored as float16: how far it is from float32, and gradients that do not fit. */
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { ReferenceBackend } from '../../src/backend/reference.js';
import type { TrainerOptions } from '../../src/train/options.js';
import type { TrainStep } from '../../src/train/report.js';
import { Trainer } from '../../src/train/trainer.js';
import { GOLDENS, NO_GOLDENS, SHARED_GOLDENS } from '../goldens.js';
import { HalfReference } from '../half_reference.js';
import { expectGoldens } from '../model/verify_golden.js';
import { CONFIG, codesFor } from './tiny_model.js';

const MIXERS = { 'Mamba-2': CONFIG, 'Mamba-1': { ...CONFIG, ssm_cfg: { layer: 'Mamba1' as const } } };

async function train(half: boolean, config: typeof CONFIG, options: Partial<TrainerOptions>): Promise<TrainStep[]> {
  const aim = await AiM.fromConfig(config, { backend: () => (half ? new HalfReference() : new ReferenceBackend()), seed: 3 });
  const data = await codesFor(aim);
  const trainer = new Trainer({ model: aim, data, batchSize: 12, lr: 3e-3, seed: 5, evalEvery: 0, ...options });
  const steps: TrainStep[] = [];
  for await (const step of trainer.run()) steps.push(step);
  trainer.dispose();
  await aim.dispose();
  return steps;
}

describe.each(Object.entries(MIXERS))('%s', (_name, config) => {
  it('losses are those of float64 but for rounding, and not the same', async () => {
    const want = await train(false, config, { steps: 10 });
    const got = await train(true, config, { steps: 10 });
    const off = got.map(({ loss }, i) => Math.abs(loss - want[i]!.loss) / want[i]!.loss);
    expect(Math.max(...off)).toBeLessThan(2e-3);
    expect(Math.max(...off)).toBeGreaterThan(0);
  });

  it('a gradient that overflows float16 changes nothing but the scale, until it fits', async () => {
    const steps = await train(true, config, { steps: 16, lossScale: 2 ** 30 });
    const finite = steps.map(({ gradNorm }) => Number.isFinite(gradNorm));
    const fits = finite.indexOf(true);
    expect(fits).toBeGreaterThan(3);
    expect(finite.slice(fits)).not.toContain(false);
    expect(steps[fits]!.lossScale).toBe(2 ** (30 - fits));
    expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss);
  });
});

describe('gradients and steps of AdamW meet the goldens', () => {
  it.for(GOLDENS.filter((name) => name !== 'aim-fmnist'))('%s', async (name, { skip }) => {
    const folder = `${SHARED_GOLDENS}/${name}`;
    if (!existsSync(folder)) return skip(NO_GOLDENS);
    const aim = await AiM.fromPretrained(folder, { backend: () => new HalfReference() });
    const must = ['forward.loss', 'grad.mamba.backbone.layers.0.mixer.in_proj.weight'];
    await expectGoldens(aim, folder, must, /^input|^forward\.loss$|^grad\.mamba|^adamw/).finally(() => aim.dispose());
  });
});
