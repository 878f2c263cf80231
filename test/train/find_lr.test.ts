/** The test of learning rates, by itself and as `aim train --find-lr`. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { trainModel } from '../../src/cli/train/model.js';
import { OptionError } from '../../src/core/errors.js';
import { encodeCodes } from '../../src/data/codes.js';
import { writeAtomic } from '../../src/platform/files.js';
import { type RatePoint, suggestRate, testRates } from '../../src/train/find_lr.js';
import { call } from '../cli/in_process.js';
import { CONFIG, codesFor } from './tiny_model.js';

const dir = mkdtempSync(join(tmpdir(), 'aim-find-lr-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Losses of 60 rates from 1e-6 to 1, by their place in [0, 1], with some noise. */
const curve = (loss: (at: number) => number, noise = 0.01): RatePoint[] =>
  Array.from({ length: 60 }, (_, i) => ({ lr: 10 ** ((6 * i) / 59 - 6), loss: loss(i / 59) + (i % 2 ? noise : -noise) }));

it('suggests where the loss falls fastest, else a tenth of where it diverges, else nothing', () => {
  const falling = curve((at) => 3 - 2 / (1 + Math.exp(-30 * (at - 0.5))) + (at > 0.8 ? 40 * (at - 0.8) : 0));
  const steepest = suggestRate({ points: falling, diverged: 1 })!;
  expect(steepest.by).toBe('steepest descent');
  expect(Math.log10(steepest.lr)).toBeCloseTo(-3, 0);
  const flat = curve((at) => (at > 0.9 ? 3 + 20 * (at - 0.9) : 3));
  expect(suggestRate({ points: flat, diverged: 0.5 })).toEqual({
    lr: 0.05,
    by: 'a tenth of the rate at which the loss diverged',
  });
  expect(suggestRate({ points: curve(() => 3), diverged: undefined })).toBeUndefined();
  expect(suggestRate({ points: [], diverged: 1e-6 })).toMatchObject({ lr: 1e-7 });
});

it('raises the rate on the real data until the loss diverges, and stops when it is told to', async () => {
  const model = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 1 });
  const data = await codesFor(model, 24);
  await writeAtomic(`${dir}/codes.safetensors`, encodeCodes(data));
  const stop = new AbortController();
  const seen: RatePoint[] = [];
  const stopped = testRates(
    { model, data, batchSize: 4, lr: 5, warmup: 9, epochs: 1 },
    { signal: stop.signal, onStep: (step, point) => (step === 3 ? stop.abort(new Error('enough')) : seen.push(point)) },
  );
  await expect(stopped).rejects.toThrow('enough');
  expect(seen.map(({ lr }) => lr.toPrecision(3))).toEqual(['0.00000100', '0.00000115']);
  expect(seen[0]!.loss).toBeCloseTo(Math.log(32), 0);
  await model.dispose();
});

it('aim train model --find-lr leaves the run in the folder as it is', async () => {
  const run = join(dir, 'run');
  mkdirSync(run);
  writeFileSync(`${run}/latest`, 'step-00000001\n');
  const base = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 1 });
  await base.save(`${dir}/base`);
  await base.dispose();
  const args = ['--out', run, '--device', 'wasm', '--batch-size', '4', '--find-lr'];
  const said = await call(trainModel, `${dir}/codes.safetensors`, '--init', `${dir}/base`, ...args);
  const { suggestion, diverged, points, stage } = JSON.parse(readFileSync(`${run}/lr-find.json`, 'utf8'));
  expect(stage).toBe('model');
  // A model this small learns fastest somewhere between a usual rate of AdamW and one at which it diverges.
  expect(suggestion.by).toBe('steepest descent');
  expect(suggestion.lr).toBeGreaterThan(1e-4);
  expect(suggestion.lr).toBeLessThan(diverged ?? 1);
  expect(points.length).toBeGreaterThan(60);
  expect(said).toContain(`suggested learning rate: ${suggestion.lr} (steepest descent`);
  expect(said).toContain(`put --lr ${suggestion.lr} in place of --find-lr`);
  const svg = readFileSync(`${run}/lr-find.svg`, 'utf8');
  expect(svg).toContain('>1e-3</text>');
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  expect(readdirSync(run).sort()).toEqual(['latest', 'lr-find.json', 'lr-find.svg']);
  expect(readFileSync(`${run}/latest`, 'utf8')).toBe('step-00000001\n');
  await expect(call(trainModel, ...args, '--resume')).rejects.toThrow(OptionError);
});
