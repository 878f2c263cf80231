/** A GPU device that is lost in training: the run continues, and its results equal those of an undisturbed run bit for bit. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { DeviceError } from '../../src/core/errors.js';
import { checkpointFiles, openCheckpointFolder, saveCheckpoint } from '../../src/train/folder.js';
import { Trainer } from '../../src/train/trainer.js';
import { hasAdapter, NO_ADAPTER } from '../backends.js';
import { lose, withDevices } from '../platform/gpu.js';
import { CONFIG, codesFor } from './tiny_model.js';
import '../idle_waits.mjs';

/** Every new device compiles all kernels, and those of Mamba-1 take a software GPU half the time. */
const SMALL = { ...CONFIG, ssm_cfg: { layer: 'Mamba1' as const } };

const options = { batchSize: 6, steps: 5, evalEvery: 3, evalItems: 8, lr: 3e-3, seed: 5, emaDecay: 0.9 };

/** From the beginning, from a copy in memory and from a checkpoint. */
const LOSSES = ['step 1', 'step 2', 'step 4', 'step 5', 'average', 'checkpoint'];

async function open(): Promise<{ aim: AiM; trainer: Trainer }> {
  const aim = await AiM.fromConfig(SMALL, { device: 'webgpu', seed: 3 });
  return { aim, trainer: new Trainer({ model: aim, data: await codesFor(aim), ...options }) };
}

/** Every file of a checkpoint, as one string of bytes each. */
async function contents(trainer: Trainer): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const { name, data } of checkpointFiles(trainer.checkpoint())) {
    const pieces: Uint8Array[] = [];
    if (data instanceof Uint8Array) pieces.push(data);
    else for await (const piece of data) pieces.push(Uint8Array.from(piece));
    files.set(name, Buffer.concat(pieces).toString('base64'));
  }
  return files;
}

/** Returns a run's steps, images and checkpoint. `disturb` is called between steps and may lose the device. */
async function run(disturb: (where: string, trainer: Trainer) => unknown) {
  const { aim, trainer } = await open();
  const steps: unknown[] = [];
  for await (const { step, loss, gradNorm, eval: held } of trainer.run()) {
    steps.push({ step, loss, gradNorm, held });
    await disturb(`step ${step}`, trainer);
  }
  const drawn = await trainer.withEma(async () => {
    await disturb('average', trainer);
    return aim.generate({ count: 2 });
  });
  await disturb('checkpoint', trainer);
  const files = await contents(trainer);
  trainer.dispose();
  const { recoveries } = aim.model;
  await aim.dispose();
  return { steps, tokens: drawn.tokens, files, recoveries };
}

it('training continues from its beginning, from a copy in memory and from a checkpoint', async ({ skip }) => {
  if (!(await hasAdapter())) return skip(NO_ADAPTER);
  const want = await run(() => {});
  const dir = mkdtempSync(join(tmpdir(), 'aim-recovery-'));
  try {
    const got = await run(async (where, trainer) => {
      if (where === 'step 3') await trainer.keep();
      if (where === 'step 5') await trainer.keep(await openCheckpointFolder(await saveCheckpoint(dir, trainer.checkpoint())));
      if (LOSSES.includes(where)) lose();
    });
    expect(got.recoveries).toBe(LOSSES.length);
    expect(got.steps).toEqual(want.steps);
    expect(got.tokens).toEqual(want.tokens);
    expect([...got.files.keys()]).toEqual([...want.files.keys()]);
    for (const [name, bytes] of want.files) expect(got.files.get(name) === bytes, name).toBe(true);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

it('without another device the error names the newest state, and trained weights do not pass for loaded ones', async ({
  skip,
}) => {
  if (!(await hasAdapter())) return skip(NO_ADAPTER);
  const dir = mkdtempSync(join(tmpdir(), 'aim-recovery-'));
  try {
    const { aim, trainer } = await open();
    const steps = trainer.run();
    await steps.next();
    const path = await saveCheckpoint(dir, trainer.checkpoint());
    await trainer.keep(await openCheckpointFolder(path));
    lose();
    const stopped = await withDevices(
      (device) => device.destroy(),
      () => steps.next().catch((error) => error),
    );
    expect(stopped).toBeInstanceOf(DeviceError);
    expect(stopped.message).toMatch(/device was lost/);
    expect(stopped.message).toContain(path);
    // The run has ended; another continues on its own device.
    for await (const { step } of trainer.run()) if (step === 3) break;
    trainer.dispose();
    lose();
    const gone = await aim.generate({ count: 1 }).catch((error) => error);
    expect(gone).toBeInstanceOf(DeviceError);
    expect(gone.message).toMatch(/device was lost.*its weights were trained here.*load the checkpoint saved last/);
    await aim.dispose();
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

it('steps on batches of the caller are taken again after a loss', async ({ skip }) => {
  if (!(await hasAdapter())) return skip(NO_ADAPTER);
  const steps = async (disturb: (where: number, trainer: Trainer) => unknown) => {
    const { aim, trainer } = await open();
    const { codes, labels } = await codesFor(aim);
    const figures: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      const items = Array.from({ length: 6 }, (_, k) => i * 6 + k);
      const batch = { codes: items.map((k) => codes.slice(k * 16, (k + 1) * 16)), classes: items.map((k) => labels[k]!) };
      figures.push(await trainer.step(batch, { lr: 1e-3 * (i + 1) }));
      await disturb(i, trainer);
    }
    for await (const { loss, gradNorm } of trainer.run({ until: 4 })) figures.push({ loss, gradNorm });
    trainer.dispose();
    await aim.dispose();
    return figures;
  };
  const want = await steps(() => {});
  const got = await steps(async (i, trainer) => {
    // From the beginning, and from a copy that already has the first two.
    if (i === 1) await trainer.keep();
    lose();
  });
  expect(got).toEqual(want);
});
