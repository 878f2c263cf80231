/** Weights and training state are restored on another backend bit for bit. Uses WASM only; no device is really lost. */
import { createHash } from 'node:crypto';
import { afterEach, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { WasmBackend } from '../../src/backend/wasm.js';
import { CheckpointError } from '../../src/core/errors.js';
import { restore } from '../../src/model/origin.js';
import { allocate, type ParamTree } from '../../src/model/params.js';
import type { Placed } from '../../src/model/placed.js';
import { Trainer } from '../../src/train/trainer.js';
import { CONFIG, codesFor } from './tiny_model.js';

const open: { dispose(): unknown }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.dispose();
});

/** A fresh model that remembers the origin of its weights as one on WebGPU does. */
async function fresh(): Promise<AiM> {
  const aim = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 3 });
  aim.model.origins = [{ from: 'initialisation', seed: 3 }];
  Object.defineProperty(aim.model, 'replaceable', { value: true });
  open.push(aim);
  return aim;
}

async function begin(): Promise<{ aim: AiM; trainer: Trainer }> {
  const aim = await fresh();
  const options = { batchSize: 6, steps: 6, evalEvery: 0, lr: 3e-3, seed: 5, emaDecay: 0.9, accumulate: 2 };
  const trainer = new Trainer({ model: aim, data: await codesFor(aim, 12), ...options });
  open.push(trainer);
  return { aim, trainer };
}

/** Runs until step `last` is yielded; one more step is then submitted. */
async function train(trainer: Trainer, last: number): Promise<number[]> {
  const losses: number[] = [];
  for await (const { step, loss } of trainer.run()) {
    losses.push(loss);
    if (step === last) break;
  }
  return losses;
}

/** Restores the model on another backend and moves it there, as Recovery does after a loss. */
async function move({ model }: AiM): Promise<void> {
  const be = await WasmBackend.create();
  open.push(be);
  const on = { be, params: allocate(be, model.tree as unknown as ParamTree) as unknown as Placed['params'] };
  await restore(model, on);
  (model as unknown as { recovery: { on: Placed } }).recovery.on = on;
}

/** A hash of each parameter's bytes. */
async function hashes({ model }: AiM): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const [name, { tensor }] of model.named())
    found[name] = createHash('sha256')
      .update((await model.be.read(tensor)) as Float32Array)
      .digest('hex');
  return found;
}

async function expectSame(aim: AiM): Promise<void> {
  const before = await hashes(aim);
  await move(aim);
  expect(await hashes(aim)).toEqual(before);
}

it('fresh weights are restored bit for bit', async () => expectSame(await fresh()));

it('training is restored from its beginning, from a copy in memory, and with the averaged weights in use', async () => {
  const { aim, trainer } = await begin();
  await train(trainer, 2);
  expect(await hashes(aim)).not.toEqual(await hashes(await fresh()));
  await expectSame(aim);
  await trainer.keep();
  await expectSame(aim);
  await train(trainer, 4);
  await expectSame(aim);
  await trainer.withEma(() => expectSame(aim));
  await expectSame(aim);
});

it('a run that continues on another backend gives the same losses', async () => {
  const whole = await begin();
  const want = await train(whole.trainer, 6);
  const { aim, trainer } = await begin();
  const before = await train(trainer, 3);
  await move(aim);
  expect([...before, ...(await train(trainer, 6))]).toEqual(want);
});

it('after training the last stored state is restored, and without one it is an error', async () => {
  const { aim, trainer } = await begin();
  await train(trainer, 6);
  await trainer.keep();
  trainer.dispose();
  await expectSame(aim);
  const other = await begin();
  await train(other.trainer, 2);
  other.trainer.dispose();
  await expect(move(other.aim)).rejects.toThrow(CheckpointError);
  await expect(move(other.aim)).rejects.toThrow(/its weights were trained here/);
});
