/** What a step of training holds on a GPU, counted on a device that computes nothing, and what happens where that is too much. */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { OutOfMemoryError } from '../../src/core/errors.js';
import { Model } from '../../src/model/model.js';
import { PRESETS } from '../../src/model/presets.js';
import { openCheckpointFolder, saveCheckpoint } from '../../src/train/folder.js';
import type { TrainerOptions } from '../../src/train/options.js';
import { Trainer } from '../../src/train/trainer.js';
import { planningBackend } from '../planning_gpu.js';
import { type Memory, memoryOf } from './memory_table.js';
import { CONFIG, codesFor } from './tiny_model.js';

describe('the memory of training in mixed precision', () => {
  const GB = 1e9;
  /** What is printed before a run starts is right to some percent. */
  const foretells = ({ foretold, total }: Memory) => {
    expect(foretold).toBeGreaterThan(0.93 * total);
    expect(foretold).toBeLessThan(1.07 * total);
  };

  it.each([
    ['Mamba2', 22.5, 8.7],
    ['Mamba1', 27.5, 9.5],
  ] as const)(
    'AiM-B with %s: 128 × 256 tokens take less than %f GB, and less than %f with recompute',
    async (layer, whole, least) => {
      const [saving, again, parts] = await memoryOf({ preset: 'aim-b', layer, precision: 'mixed' }, [
        { batchSize: 128 },
        { batchSize: 128, recompute: true },
        { batchSize: 128, accumulate: 4 },
      ]);
      expect(saving!.total).toBeLessThan(whole * GB);
      expect(again!.total).toBeLessThan(least * GB);
      // Parts of a batch share their memory.
      expect(parts!.total).toBeLessThan(10 * GB);
      for (const memory of [saving!, again!, parts!]) foretells(memory);
    },
  );

  it.each([
    ['aim-l', 24],
    ['aim-xl', 48],
  ] as const)('%s with recompute: 32 × 256 tokens fit in %i GB', async (preset, most) => {
    const [again] = await memoryOf({ preset, layer: 'Mamba2', precision: 'mixed' }, [{ batchSize: 32, recompute: true }]);
    expect(again!.total).toBeLessThan(most * GB);
    foretells(again!);
  });
});

describe('too little memory', () => {
  it('is reported before the first step, with what would take less', async () => {
    const be = planningBackend('mixed', 12e9);
    const json = { ...PRESETS['aim-b'], num_classes: 3 };
    const model = await Model.filled(json, { backend: () => be }, () => {});
    const trainer = new Trainer({ model, stage: 'model', batchSize: 64 });
    const batch = { codes: Array.from({ length: 64 }, () => new Uint32Array(256)), classes: Array<number>(64).fill(0) };
    const error = await trainer.step(batch).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect((error as Error).message).toMatch(
      /^the device has too little memory for this training \(about 12\.\d GB\): .*Out of memory.*; take recompute \(about 5\.\d GB\), accumulate 2 \(about 7\.\d GB\), a smaller batchSize or a smaller model\.$/,
    );
    expect(trainer.stepsDone).toBe(0);
    trainer.dispose();
    model.dispose();
  });

  it('is refused by the constructor on WASM, and the model can be trained on with less', async () => {
    const aim = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 3 });
    const { be } = aim.model;
    const before = be.bytes;
    const make = (batchSize: number, options: Partial<TrainerOptions> = {}) =>
      new Trainer({ model: aim, stage: 'model', batchSize, ...options });
    expect(() => make(2 ** 20 + 7, { recompute: true })).toThrow(OutOfMemoryError);
    expect(() => make(2 ** 20 + 7)).toThrow(/WebAssembly memory cannot grow .*; take recompute .*, accumulate \d+ /);
    expect(be.bytes).toBe(before);
    const trainer = new Trainer({ model: aim, data: await codesFor(aim), batchSize: 8, steps: 1 });
    for await (const step of trainer.run()) expect(step.loss).toBeGreaterThan(0);
    trainer.dispose();
    await aim.dispose();
  });
});

it('a run with recompute has the weights of one without, bit for bit, and may be resumed either way', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'aim-recompute-'));
  const options = {
    batchSize: 12,
    accumulate: 2,
    steps: 4,
    labelDropout: 0.3,
    emaDecay: 0.9,
    lossScale: 1024,
    lr: 3e-3,
    seed: 5,
  };
  const config = { ...CONFIG, d_intermediate: 128, attn_layer_idx: [1], attn_cfg: { num_heads: 2, causal: true } };
  /** Trains to step `until`, and saves; from a saved step on if there is one. */
  const train = async (name: string, recompute: boolean, until: number) => {
    const out = join(folder, name);
    const saved = existsSync(out) ? await openCheckpointFolder(out) : undefined;
    const device = { device: 'wasm' } as const;
    const aim = await (saved ? AiM.fromPretrained(saved.path, device) : AiM.fromConfig(config, { ...device, seed: 3 }));
    const trainer = new Trainer({ model: aim, data: await codesFor(aim), evalEvery: 2, ...options, recompute });
    if (saved) await trainer.resume(saved);
    const reports = [];
    for await (const { loss, gradNorm, eval: held } of trainer.run({ until })) reports.push({ loss, gradNorm, held });
    const path = await saveCheckpoint(out, trainer.checkpoint());
    trainer.dispose();
    await aim.dispose();
    const digest = (part: string) =>
      createHash('sha256')
        .update(readFileSync(`${path}/${part}.safetensors`))
        .digest('hex');
    const files = ['model', 'optimizer', 'ema'].map(digest);
    return { reports, files };
  };
  try {
    const saving = await train('saving', false, 4);
    const again = await train('again', true, 4);
    expect(again).toEqual(saving);
    const begun = await train('both', true, 2);
    const ended = await train('both', false, 4);
    expect([...begun.reports, ...ended.reports]).toEqual(saving.reports);
    expect(ended.files).toEqual(saving.files);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it('recompute is for stage 2', async () => {
  const aim = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 3 });
  expect(() => new Trainer({ model: aim, stage: 'tokenizer', recompute: true })).toThrow(/recompute is for .* stage 2/);
  await aim.dispose();
});
