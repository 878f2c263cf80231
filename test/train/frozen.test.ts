/** Parameters that `freeze` names keep their values bit for bit, and the others are trained as if those could not change. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { parse } from '../../src/cli/command.js';
import { trainModel } from '../../src/cli/train/model.js';
import { OptionError } from '../../src/core/errors.js';
import type { ImageDataset } from '../../src/data/dataset.js';
import { openFile } from '../../src/io/file_source.js';
import { parseHeader } from '../../src/io/safetensors.js';
import { openCheckpointFolder, saveCheckpoint } from '../../src/train/folder.js';
import type { TrainerOptions } from '../../src/train/options.js';
import { Trainer } from '../../src/train/trainer.js';
import { deviceOptions, hasAdapter, NO_ADAPTER } from '../backends.js';
import { CONFIG, codesFor } from './tiny_model.js';

const dir = mkdtempSync(join(tmpdir(), 'aim-frozen-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const opened: { dispose(): unknown }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.dispose();
});

const OPTIONS = { batchSize: 6, steps: 5, lr: 3e-3, seed: 5, evalEvery: 0, weightDecay: 0.5 } as const;
const POSITIONS = 'mamba.backbone.embeddings.position_embeddings.weight';
/** One parameter, all of a kind in all layers, and all of one layer. */
const FREEZE = [POSITIONS, '*.mixer.A_log', 'mamba.backbone.layers.1.*'];

async function open(options: Partial<TrainerOptions> = {}, device: 'wasm' | 'webgpu' = 'wasm') {
  const aim = await AiM.fromConfig(CONFIG, { ...(await deviceOptions(device)), seed: 3 });
  opened.push(aim);
  const trainer = new Trainer({ model: aim, data: await codesFor(aim), ...OPTIONS, ...options });
  opened.push(trainer);
  return { aim, trainer };
}

/** Hashes of the weights, which are quicker to compare. */
async function hashes(aim: AiM): Promise<Record<string, string>> {
  const all = Object.entries(await weights(aim));
  return Object.fromEntries(all.map(([name, values]) => [name, createHash('sha256').update(values).digest('hex')]));
}

async function weights({ model }: AiM): Promise<Record<string, Float32Array>> {
  const found: Record<string, Float32Array> = {};
  for (const name of model.named().keys()) found[name] = await model.read(name);
  return found;
}

const run = async (trainer: Trainer, until?: number) => {
  for await (const _ of trainer.run(until === undefined ? {} : { until })) void _;
};

it.for(['wasm', 'webgpu'] as const)('what is frozen keeps its bits and all else is trained, on %s', async (device, { skip }) => {
  if (device === 'webgpu' && !(await hasAdapter())) return skip(NO_ADAPTER);
  const { aim, trainer } = await open({ freeze: FREEZE, steps: 2, accumulate: 2, emaDecay: 0.9 }, device);
  const before = await weights(aim);
  await run(trainer);
  const after = await weights(aim);
  const same = Object.keys(before).filter((name) => before[name]!.every((v, i) => v === after[name]![i]));
  const stays = (name: string) => !name.startsWith('mamba.') || trainer.frozen.has(name);
  expect(same).toEqual(Object.keys(before).filter(stays));
  expect([...trainer.frozen].sort()).toEqual(
    Object.keys(before)
      .filter((name) => name === POSITIONS || /^mamba.*(\.mixer\.A_log|layers\.1\..*)$/.test(name))
      .sort(),
  );
});

it('the others are trained as if the frozen ones were put back after each step, when nothing is clipped', async () => {
  const options = { clipNorm: 0, steps: 4 };
  const frozen = await open({ ...options, freeze: FREEZE });
  await run(frozen.trainer);
  const { aim, trainer } = await open(options);
  const first = await weights(aim);
  for (let step = 1; step <= options.steps; step++) {
    await run(trainer, step);
    for (const name of frozen.trainer.frozen) aim.model.be.write(aim.model.named().get(name)!.tensor, first[name]!);
  }
  expect(await hashes(frozen.aim)).toEqual(await hashes(aim));
});

it('the norm of the gradient, by which it is clipped, is that of the other parameters', async () => {
  const only = 'mamba.backbone.norm_f.weight';
  const names = [...(await open()).aim.model.named().keys()].filter((name) => name.startsWith('mamba.') && name !== only);
  const norm = async (freeze: string[]) => (await (await open({ freeze })).trainer.run().next()).value!.gradNorm;
  const [all, one, rest] = [await norm([]), await norm(names), await norm([only])];
  expect(one).toBeGreaterThan(0);
  expect(rest).toBeGreaterThan(0);
  expect(Math.hypot(one, rest)).toBeCloseTo(all, 5);
});

it('a run with frozen parameters that is resumed ends with the same bits, and saves no moments of them', async () => {
  const options = { freeze: FREEZE, emaDecay: 0.9 };
  const whole = await open(options);
  await run(whole.trainer);
  const half = await open(options);
  await run(half.trainer, 2);
  const path = await saveCheckpoint(join(dir, 'run'), half.trainer.checkpoint());
  const tensors = async (file: string) => {
    const source = await openFile(`${path}/${file}.safetensors`);
    return [...(await parseHeader(source).finally(() => source.close())).tensors.keys()];
  };
  const trained = [...half.aim.model.named().keys()].filter((name) => name.startsWith('mamba.'));
  const moving = trained.filter((name) => !half.trainer.frozen.has(name));
  expect(await tensors('optimizer')).toEqual(expect.arrayContaining(moving.flatMap((name) => [`m.${name}`, `v.${name}`])));
  expect(await tensors('optimizer')).toHaveLength(2 * moving.length);
  // The averages are read as weights, so that file has all.
  expect((await tensors('ema')).sort()).toEqual(trained.sort());

  const saved = await openCheckpointFolder(path);
  const aim = await AiM.fromPretrained(path, { device: 'wasm' });
  opened.push(aim);
  const trainer = new Trainer({ model: aim, data: await codesFor(aim), ...OPTIONS, ...options });
  opened.push(trainer);
  await trainer.resume(saved);
  await run(trainer);
  expect(await hashes(aim)).toEqual(await hashes(whole.aim));
  const averages = async (of: { aim: AiM; trainer: Trainer }) => of.trainer.withEma(() => hashes(of.aim));
  expect(await averages({ aim, trainer })).toEqual(await averages(whole));
  // With other parameters frozen it would be another run.
  trainer.dispose();
  const other = new Trainer({ model: aim, data: await codesFor(aim), ...OPTIONS, ...options, freeze: [POSITIONS] });
  opened.push(other);
  await expect(other.resume(saved)).rejects.toThrow(/trained with freeze \[.*\], now it is \[/);
});

it('the tokenizer can be trained with a frozen encoder, and codes that restart need a codebook that is not frozen', async () => {
  const aim = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 3 });
  opened.push(aim);
  const images: ImageDataset = {
    ...{ classes: ['a'], length: 6, size: 8, augments: false, skipped: [], label: () => 0 },
    tryImage: async (i) => Float32Array.from({ length: 8 * 8 * 3 }, (_, k) => Math.sin(i + k)),
    image: (i, mode) => images.tryImage(i, mode) as Promise<Float32Array>,
  };
  const options = { model: aim, data: { train: images, eval: undefined }, batchSize: 3, steps: 2, evalEvery: 0 };
  expect(() => new Trainer({ ...options, restartCodes: 4, freeze: ['vqvae.quantize.*'] })).toThrow(/restartCodes moves codes/);
  const trainer = new Trainer({ ...options, restartCodes: 4, freeze: ['vqvae.encoder.*'] });
  opened.push(trainer);
  const before = await weights(aim);
  await run(trainer);
  const after = await weights(aim);
  const changed = Object.keys(after).filter((name) => after[name]!.some((v, i) => v !== before[name]![i]));
  expect(changed.filter((name) => name.startsWith('vqvae.encoder.'))).toEqual([]);
  expect(changed.filter((name) => name.startsWith('vqvae.decoder.')).length).toBeGreaterThan(10);
});

it('names that no trained parameter has are refused, with the nearest one, and so is freezing everything', async () => {
  const aim = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 3 });
  opened.push(aim);
  const data = await codesFor(aim);
  const wrong: [unknown, RegExp][] = [
    [
      ['mamba.backbone.norm_f.weigth'],
      /"mamba\.backbone\.norm_f\.weigth" names none of .* such as mamba\.backbone\.norm_f\.weight,/,
    ],
    [['vqvae.*'], /"vqvae\.\*" names none of/],
    // A dot is a dot, and a name is whole.
    [['mamba?backbone.norm_f.weight'], /names none/],
    [['norm_f.weight'], /names none/],
    [[POSITIONS, 'layers'], /"layers" names none/],
    [['*'], /freeze names all \d+ parameters/],
    ['mamba.*', /freeze is "mamba\.\*"; it must be a list of strings/],
  ];
  for (const [freeze, message] of wrong) {
    const make = () => new Trainer({ model: aim, data, ...OPTIONS, freeze: freeze as string[] });
    expect(make).toThrow(OptionError);
    expect(make).toThrow(message);
  }
});

it('aim train takes --freeze several times', () => {
  const { flags } = parse(trainModel, ['DATA', '--freeze', '*.A_log', '--freeze', POSITIONS])!;
  expect(flags.freeze).toEqual(['*.A_log', POSITIONS]);
});
