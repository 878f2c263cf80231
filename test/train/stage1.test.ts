/** The tokenizer's further losses in training: on WASM as on the reference, resumed bit for bit, restored on another device. */
import { afterEach, describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { OptionError, TrainingError } from '../../src/core/errors.js';
import { uniform } from '../../src/core/random.js';
import type { ImageDataset } from '../../src/data/dataset.js';
import { ownFeaturesOf, trainOwnFeatures } from '../../src/evaluate/own_features.js';
import { fillSaved } from '../../src/model/load.js';
import type { Model } from '../../src/model/model.js';
import { restore } from '../../src/model/origin.js';
import { allocate, type ParamTree } from '../../src/model/params.js';
import type { Placed } from '../../src/model/placed.js';
import type { FeatureNetwork } from '../../src/train/features.js';
import { checkpointFiles, heldCheckpoint, type SavedCheckpoint } from '../../src/train/folder.js';
import type { TrainerOptions } from '../../src/train/options.js';
import type { TrainStep } from '../../src/train/report.js';
import { Trainer } from '../../src/train/trainer.js';
import { deviceOptions, wasmBackend } from '../backends.js';
import { CONFIG } from './tiny_model.js';

const SIZE = 8;
const random = (i: number, k: number) => 2 * uniform(1, 'image', i, k) - 1;
const images: ImageDataset = {
  classes: ['a', 'b'],
  length: 6,
  size: SIZE,
  augments: false,
  skipped: [],
  label: (i) => i % 2,
  tryImage: async (i) => Float32Array.from({ length: SIZE * SIZE * 3 }, (_, k) => random(i, k)),
  image: (i, mode) => images.tryImage(i, mode) as Promise<Float32Array>,
};

/** A network of features with a pool, smaller than LPIPS and of random weights. */
const features: FeatureNetwork = {
  name: 'lpips',
  id: 'of a test',
  input: { weight: Float32Array.of(2, 0, 0, 0, 2, 0, 0, 0, 2), bias: Float32Array.of(0.1, 0.2, 0.3) },
  layers: [conv([4, 3, 3, 3], 50), { kind: 'pool' }, conv([8, 3, 3, 4], 51)],
};
function conv(shape: [number, number, number, number], seed: number): FeatureNetwork['layers'][number] {
  const weight = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, k) => random(seed, k));
  const bias = new Float32Array(shape[0]).fill(0.05);
  return { kind: 'conv', shape, weight, bias, stride: 1, pad: 1, compared: Float32Array.from(bias, (_, k) => k + 1) };
}

/** Everything that there is to choose; the discriminator starts at the third step. */
const ALL: Partial<TrainerOptions> = {
  loss: 'l1',
  perceptual: features,
  perceptualWeight: 0.5,
  discriminator: 'patchgan',
  discChannels: 2,
  discStart: 2,
  discWeight: 0.7,
  adaptive: true,
  restartCodes: 2,
  emaDecay: 0.9,
};

const open: { dispose(): unknown }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.dispose();
});

async function begin(
  options: Partial<TrainerOptions>,
  device: 'wasm' | 'reference' = 'wasm',
  prepare: (model: Model) => void = () => {},
): Promise<Trainer> {
  const aim = await AiM.fromConfig(CONFIG, { ...(await deviceOptions(device)), seed: 2 });
  prepare(aim.model);
  const common = { batchSize: 4, steps: 4, lr: 1e-3, evalEvery: 0, evalItems: 4 };
  const trainer = new Trainer({ model: aim, data: { train: images, eval: images }, ...common, ...options });
  open.push(aim, trainer);
  return trainer;
}

const modelOf = (trainer: Trainer) => (trainer as unknown as { model: Model }).model;

/** Runs to step `until` and returns what was reported. */
async function metricsOf(trainer: Trainer, until = 4): Promise<TrainStep['metrics'][]> {
  const out: TrainStep['metrics'][] = [];
  for await (const { metrics, gradNorm } of trainer.run({ until })) out.push({ ...metrics, gradNorm });
  return out;
}

/** The bytes of every file of the trainer's checkpoint. */
async function bytesOf(trainer: Trainer): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const { name, data } of checkpointFiles(trainer.checkpoint())) {
    const pieces: Uint8Array[] = [];
    if (data instanceof Uint8Array) pieces.push(data);
    else for await (const piece of data) pieces.push(Uint8Array.from(piece));
    files[name] = Buffer.concat(pieces).toString('base64');
  }
  return files;
}

describe('training with all losses', () => {
  it('has the metrics of the float64 reference, on the loss and beside it', async () => {
    // With larger steps, or with codes that restart at features, the rounding of float32 soon makes another code the nearest somewhere.
    const run = async (device: 'wasm' | 'reference') =>
      metricsOf(await begin({ ...ALL, lr: 2e-4, restartCodes: 0, discStart: 1 }, device), 3);
    const [want, got] = [await run('reference'), await run('wasm')];
    const first = ['loss', 'l1', 'codebook', 'commitment', 'lpips', 'mse', 'gradNorm'];
    const further = ['generator', 'discriminator', 'discWeight', 'discGradNorm'];
    expect(Object.keys(got[0]!).sort()).toEqual([...first].sort());
    expect(Object.keys(got[1]!).sort()).toEqual([...first, ...further].sort());
    for (const [i, metrics] of want.entries())
      for (const [name, value] of Object.entries(metrics)) {
        const diff = Math.abs(got[i]![name]! - value);
        expect(diff, `step ${i + 1}, ${name}: ${got[i]![name]}, expected ${value}`).toBeLessThan(2e-3 * (1 + Math.abs(value)));
      }
    const { l1, codebook, commitment, lpips, generator, loss } = got[2]!;
    expect(Math.abs(l1! + codebook! + commitment! + lpips! + generator! - loss!)).toBeLessThan(1e-5);
  });

  it('is resumed bit for bit, before and after the discriminator has begun', async () => {
    const whole = await begin(ALL);
    const metrics = await metricsOf(whole);
    const want = await bytesOf(whole);
    for (const at of [1, 3]) {
      const half = await begin(ALL);
      await metricsOf(half, at);
      // As in another process, the model has the saved weights when it is resumed.
      const saved: SavedCheckpoint = await heldCheckpoint(half.checkpoint());
      const rest = await begin(ALL);
      await fillSaved(modelOf(rest).be, saved, 'model', modelOf(rest).named());
      await rest.resume(saved);
      expect(await metricsOf(rest)).toEqual(metrics.slice(at));
      const got = await bytesOf(rest);
      for (const [name, bytes] of Object.entries(want)) expect(got[name] === bytes, `${name}, resumed at ${at}`).toBe(true);
    }
  });

  it('is restored on another device bit for bit', async () => {
    const trainer = await begin(ALL, 'wasm', (model) => {
      model.origins = [{ from: 'initialisation', seed: 2 }];
      Object.defineProperty(model, 'replaceable', { value: true });
    });
    await metricsOf(trainer, 3);
    const want = await bytesOf(trainer);
    const model = modelOf(trainer);
    const be = await wasmBackend();
    open.push(be);
    const on = { be, params: allocate(be, model.tree as unknown as ParamTree) as unknown as Placed['params'] };
    await restore(model, on);
    (model as unknown as { recovery: { on: Placed } }).recovery.on = on;
    const got = await bytesOf(trainer);
    for (const [name, bytes] of Object.entries(want)) expect(got[name] === bytes, name).toBe(true);
  });

  it('refuses to be resumed with another network or weight, and takes a run from before there were these options', async () => {
    const trainer = await begin(ALL);
    await metricsOf(trainer, 1);
    const saved = await heldCheckpoint(trainer.checkpoint());
    const other = await begin({ ...ALL, perceptual: { ...features, id: 'another' } });
    await expect(other.resume(saved)).rejects.toThrow(/perceptual "lpips of a test", now it is "lpips another"/);
    const plain = await begin({});
    await expect(plain.resume(saved)).rejects.toThrow(OptionError);
    await metricsOf(plain, 1);
    const old = await heldCheckpoint(plain.checkpoint());
    const names = ['batchSize', 'accumulate', 'seed', 'labelDropout', 'stage', 'schedule', 'warmup', 'evalItems'];
    const more = ['betas', 'eps', 'weightDecay', 'clipNorm', 'emaDecay', 'lossScale', 'lr', 'steps', 'evalEvery'];
    const options = Object.fromEntries([...names, ...more].map((k) => [k, (old.state.options as Record<string, unknown>)[k]]));
    await (await begin({})).resume({ ...old, state: { ...old.state, options } });
  });

  it('a part of a batch at a time is trained too', async () => {
    const parts = await metricsOf(await begin({ ...ALL, accumulate: 2, adaptive: false, batchSize: 4 }), 3);
    expect(parts.every(({ loss }) => Number.isFinite(loss))).toBe(true);
    expect(parts[2]!.discWeight).toBe(Math.fround(0.7));
  });

  it('a discriminator whose gradient is not finite ends the run', async () => {
    const trainer = await begin({ ...ALL, lossScale: 0 });
    await metricsOf(trainer, 2);
    const device = (trainer as unknown as { state: { task: { saved: [string, { tensor: never }][] } } }).state;
    const [, { tensor }] = device.task.saved.find(([name]) => name === 'discriminator.main.0.bias')!;
    modelOf(trainer).be.write(tensor, Float32Array.of(Number.NaN));
    await expect(metricsOf(trainer)).rejects.toThrow(TrainingError);
  });
});

it('codes that are not used for two steps restart, and the losses of the codebook fall', async () => {
  const [plain, restarting] = [await metricsOf(await begin({}), 3), await metricsOf(await begin({ restartCodes: 2 }), 3)];
  // Of 32 codes and 64 positions in a batch, some are not used.
  expect(restarting.map(({ codesRestarted }) => codesRestarted! > 0)).toEqual([false, true, true]);
  expect(restarting[1]!.loss).toBe(plain[1]!.loss);
  expect(restarting[2]!.codebook!).toBeLessThan(0.8 * plain[2]!.codebook!);
});

it('without anything chosen the steps are those of before', async () => {
  const got = await metricsOf(await begin({}), 2);
  expect(Object.keys(got[0]!).sort()).toEqual(['codebook', 'commitment', 'gradNorm', 'loss', 'mse']);
});

it('options that do not fit are refused', async () => {
  const wrong: [Partial<TrainerOptions>, RegExp][] = [
    [{ discriminator: 'other' as 'patchgan' }, /discriminator is "other"; it must be 'none' or 'patchgan'/],
    [{ discriminator: 'patchgan' }, /discStart is 20000, and the run ends after 4 steps/],
    [{ adaptive: true }, /adaptive is given, but there is no discriminator/],
    [{ perceptualWeight: 2 }, /perceptualWeight is given, but there is no perceptual loss/],
    [{ perceptual: 'lpips' as never }, /perceptual is "lpips"; pass a network/],
  ];
  for (const [options, message] of wrong) await expect(begin(options)).rejects.toThrow(message);
  const aim = await AiM.fromConfig(CONFIG, { device: 'wasm' });
  open.push(aim);
  const model = () => new Trainer({ model: aim, stage: 'model', loss: 'l1' });
  expect(model).toThrow(/loss is for the training of a tokenizer/);
});

it('features of a classifier that is trained on the data are a perceptual loss', async () => {
  const { network, weights } = await trainOwnFeatures(images);
  expect(ownFeaturesOf(weights, SIZE, 2)).toEqual(network);
  const run = async (device: 'wasm' | 'reference') => metricsOf(await begin({ perceptual: network }, device), 1);
  const [want, got] = [await run('reference'), await run('wasm')];
  expect(want[0]!.own_features).toBeGreaterThan(0);
  for (const [i, { own_features }] of got.entries())
    expect(Math.abs(own_features! / want[i]!.own_features! - 1)).toBeLessThan(1e-2);
  await expect(trainOwnFeatures({ ...images, classes: ['a'] })).rejects.toThrow(/the one class a/);
});
