/** Integrity of checkpoints: states that must not be saved or resumed, damaged content, and several writers of one folder. */
import { spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { CheckpointError, OptionError, TrainingError } from '../../src/core/errors.js';
import { removeDeadTemporaries } from '../../src/platform/files.js';
import { openCheckpointFolder, saveCheckpoint } from '../../src/train/folder.js';
import { lockRun } from '../../src/train/lock.js';
import { Trainer } from '../../src/train/trainer.js';
import { parts } from './checkpoint_writer.js';
import { CONFIG, codesFor } from './tiny_model.js';

const dir = mkdtempSync(join(tmpdir(), 'aim-sound-'));
let run: string;
let count = 0;
beforeEach(() => {
  run = join(dir, `run-${++count}`);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const save = (step: number, keep?: number) => saveCheckpoint(run, parts(step, 100), { keep });
const names = () => readdirSync(run).sort();

/** Changes the last number of a file of the run. */
function spoil(step: number, part: string, value: number): void {
  const path = `${run}/step-${String(step).padStart(8, '0')}/${part}.safetensors`;
  const bytes = readFileSync(path);
  bytes.writeFloatLE(value, bytes.length - 4);
  writeFileSync(path, bytes);
}

it.each<[string, 'model' | 'optimizer' | 'ema', number]>([
  ['NaN in a weight', 'model', Number.NaN],
  ['infinity in the optimizer', 'optimizer', Number.POSITIVE_INFINITY],
  ['NaN in the average', 'ema', Number.NaN],
])('%s is not saved, and the previous checkpoint remains', async (_, part, value) => {
  await save(1, 1);
  const bad = parts(2, 100);
  bad.state.options = { lr: 0.01 };
  bad[part] = [{ name: 'mamba.x', shape: [2], data: Float32Array.of(1, value) }];
  const error = await saveCheckpoint(run, bad, { keep: 1 }).catch((e) => e);
  expect(error).toBeInstanceOf(TrainingError);
  expect(error.message).toMatch(/^step 2: mamba\.x has (NaN|Infinity) at index 1, so this state is not saved\..* --lr 0\.001`/);
  expect(names()).toEqual(['latest', 'step-00000001']);
  expect((await openCheckpointFolder(run)).state.step).toBe(1);
});

it('a negative second moment is not saved', async () => {
  const bad = parts(2, 100);
  bad.optimizer = [{ name: 'v.mamba.x', shape: [1], data: Float32Array.of(-1e-9) }];
  await expect(saveCheckpoint(run, bad)).rejects.toThrow(/v\.mamba\.x has -.* at index 0/);
});

it.each<[string, () => void]>([
  ['weights that are not finite', () => spoil(3, 'model', Number.NaN)],
  ['an optimizer state that is not finite', () => spoil(3, 'optimizer', Number.POSITIVE_INFINITY)],
  ['an average that is not finite', () => spoil(3, 'ema', Number.NEGATIVE_INFINITY)],
  ['the step of another', () => cpSync(`${run}/step-00000001/state.json`, `${run}/step-00000003/state.json`)],
  ['a config that is no object', () => writeFileSync(`${run}/step-00000003/config.json`, 'null')],
  ['classes that are no names', () => writeFileSync(`${run}/step-00000003/classes.json`, '[1]')],
])('a run falls back to the previous checkpoint if the newest has %s', async (_, damage) => {
  for (const step of [1, 2, 3]) await save(step);
  damage();
  expect((await openCheckpointFolder(run)).state.step).toBe(2);
});

it('a single checkpoint with damaged values is refused when it is read', async () => {
  await save(1);
  spoil(1, 'optimizer', Number.NaN);
  const saved = await openCheckpointFolder(`${run}/step-00000001`);
  const read = (async () => {
    for await (const _ of saved.tensors('optimizer')) void _;
  })();
  await expect(read).rejects.toThrow(CheckpointError);
});

it('a folder in use by a running process is refused; the lock of an ended one is taken over', async () => {
  mkdirSync(run);
  const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const ended = new Promise((resolve) => other.on('close', resolve));
  const lock = JSON.stringify({ pid: other.pid, host: hostname(), started: '', token: 'x' });
  writeFileSync(`${run}/.lock`, lock);
  // The lock also holds if its owner was too busy to renew it.
  utimesSync(`${run}/.lock`, 1, 1);
  const error = await save(1).catch((e) => e);
  expect(error).toBeInstanceOf(OptionError);
  expect(error.message).toMatch(new RegExp(`is in use by process ${other.pid} on .*; wait until that has ended`));
  expect(names()).toEqual(['.lock']);
  other.kill('SIGKILL');
  await ended;
  await save(1);
  expect(names()).toEqual(['latest', 'step-00000001']);
});

it('a process locks a run once, and saves under its own lock', async () => {
  mkdirSync(run);
  const release = await lockRun(run);
  await expect(lockRun(run)).rejects.toThrow(/this process trains into it already/);
  await save(1);
  expect(existsSync(`${run}/.lock`)).toBe(true);
  await release();
  // Without a lock of the caller, saves wait for each other.
  await Promise.all([save(2), save(3)]);
  expect(names()).toEqual(['latest', 'step-00000001', 'step-00000002', 'step-00000003']);
});

it('temporary files are removed only when their process has ended', async () => {
  mkdirSync(run);
  const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const ended = new Promise((resolve) => other.on('close', resolve));
  const own = `loss.svg.${process.pid}-abc.tmp`;
  const old = `loss.svg.${process.pid}-def.tmp`;
  for (const name of [own, old, `a.png.${other.pid}-abc.tmp`]) writeFileSync(`${run}/${name}`, '');
  utimesSync(`${run}/${old}`, 1, 1);
  await removeDeadTemporaries(run);
  expect(names()).toEqual([`a.png.${other.pid}-abc.tmp`, own].sort());
  other.kill('SIGKILL');
  await ended;
  await removeDeadTemporaries(run);
  expect(names()).toEqual([own]);
});

it('the remedy that the divergence error names works', async () => {
  const aim = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 3 });
  const data = await codesFor(aim);
  const options = { batchSize: 6, steps: 6, evalEvery: 0, seed: 5, schedule: 'constant' as const };
  const trainer = new Trainer({ model: aim, data, lr: 1e-3, ...options });
  const diverge = async () => {
    for await (const { step } of trainer.run()) {
      if (step !== 2) continue;
      for await (const _ of trainer.run({ until: trainer.stepsDone })) void _;
      await saveCheckpoint(run, trainer.checkpoint());
      const { weight } = aim.model.params.mamba.backbone.norm_f;
      aim.model.be.write(weight, Float32Array.of(Number.NaN), 5);
      for await (const _ of trainer.run()) void _;
    }
  };
  const error = await diverge().catch((e) => e);
  expect(error).toBeInstanceOf(TrainingError);
  expect(error.message).toMatch(/is not finite .* training has diverged.*--resume --lr 0\.0001`; in code resume\(\)/);
  await expect(saveCheckpoint(run, trainer.checkpoint())).rejects.toThrow(TrainingError);
  trainer.dispose();
  await aim.dispose();

  const saved = await openCheckpointFolder(run);
  const again = await AiM.fromPretrained(saved.path, { device: 'wasm' });
  const slower = new Trainer({ model: again, data, lr: 1e-4, ...options });
  await slower.resume(saved);
  const losses = [];
  for await (const { loss, lr } of slower.run()) {
    expect(lr).toBe(1e-4);
    losses.push(loss);
  }
  expect([losses.length, losses.every(Number.isFinite)]).toEqual([6 - saved.state.step, true]);
  slower.dispose();
  await again.dispose();
});

it('reading a checkpoint after training has continued is refused', async () => {
  const aim = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 3 });
  const trainer = new Trainer({ model: aim, data: await codesFor(aim), batchSize: 6, steps: 6, evalEvery: 0, emaDecay: 0.9 });
  const steps = trainer.run();
  await steps.next();
  const old = trainer.checkpoint();
  await steps.next();
  await expect(saveCheckpoint(run, old)).rejects.toThrow(/training went on while the checkpoint of step 2 was being read/);
  await expect(trainer.withEma(() => saveCheckpoint(run, trainer.checkpoint()))).rejects.toThrow(/cannot be read inside withEma/);
  expect(await saveCheckpoint(run, trainer.checkpoint())).toMatch(/step-00000003$/);
  expect(names()).toEqual(['latest', 'step-00000003']);

  // Not awaited: the save and the next steps take turns.
  const torn = saveCheckpoint(run, trainer.checkpoint());
  torn.catch(() => {});
  await steps.next();
  await steps.next();
  await expect(torn).rejects.toThrow(OptionError);
  expect(names()).toEqual(['latest', 'step-00000003']);
  const data = await codesFor(aim);
  expect(() => new Trainer({ model: aim, data, batchSize: 6 })).toThrow(/this model has a trainer already; call dispose\(\)/);
  trainer.dispose();
  new Trainer({ model: aim, data, batchSize: 6 }).dispose();
  await aim.dispose();
});
