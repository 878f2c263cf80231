/** Tuning: measurements are stored, used by later loads, and change no result. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { beforeEach, expect, it } from 'vitest';
import { AiM, type LoadOptions } from '../../src/aim.js';
import type { Question } from '../../src/backend/tuning.js';
import type { WebGpuBackend } from '../../src/backend/webgpu.js';
import { cachedFiles, clearCache } from '../../src/checkpoint/cached_files.js';
import { Trainer } from '../../src/train/trainer.js';
import { hasAdapter, NO_ADAPTER, sharedDevice, takeKernels } from '../backends.js';
import { CONFIG, codesFor } from '../train/tiny_model.js';

/** With the kernels for real GPUs, which give something to choose. */
async function make(options: LoadOptions = {}): Promise<AiM> {
  const aim = await AiM.fromConfig(CONFIG, { device: await sharedDevice(), ...options });
  takeKernels(aim.model.be, false);
  return aim;
}
const choicesOf = (aim: AiM) => new Map((aim.model.be as WebGpuBackend).tuning.choices);

beforeEach(async ({ skip }) => {
  if (!(await hasAdapter())) return skip(NO_ADAPTER);
});

let measured: Question | undefined;

it('stores its measurements for the next load and does not change the images', async () => {
  const aim = await make();
  const before = await aim.generate({ count: 1 });
  const progress: number[] = [];
  const tuned = await aim.tune({ onProgress: ({ phase, loaded }) => phase === 'tune' && progress.push(loaded) });
  expect(tuned.length).toBeGreaterThan(3);
  expect(progress).toEqual(Array.from({ length: tuned.length + 1 }, (_, i) => i));
  for (const { chosen, usual, ms } of tuned) {
    const times = Object.values(ms);
    expect(times.length).toBeGreaterThan(1);
    expect(times.every((t) => t > 0)).toBe(true);
    expect(ms[chosen]).toBeLessThanOrEqual(ms[usual]!);
  }
  expect(await aim.tune()).toEqual([]);
  const choices = choicesOf(aim);
  expect(choices.size).toBe(tuned.length);
  measured = (aim.model.be as WebGpuBackend).tuning.questions.values().next().value;
  expect((await aim.generate({ count: 1 })).tokens).toEqual(before.tokens);
  await aim.dispose();

  const again = await make();
  expect(choicesOf(again)).toEqual(choices);
  expect((await again.generate({ count: 1 })).tokens).toEqual(before.tokens);
  await again.dispose();
  expect((await cachedFiles()).map(({ url }) => url)).toEqual([expect.stringMatching(/^tuned:1:webgpu/)]);
});

it('a stored choice is the one that later loads run', async () => {
  const question = measured!;
  const other = question.candidates.find((c) => c !== question.usual)!;
  const file = `${process.env.AIM_CACHE}/${readdirSync(process.env.AIM_CACHE!)[0]}`;
  const record = JSON.parse(readFileSync(file, 'utf8'));
  const put = (text: string) => writeFileSync(file, JSON.stringify({ ...record, text }));

  const plan = async (options: LoadOptions = {}) => {
    const again = await make(options);
    const be = again.model.be as WebGpuBackend;
    const dims = Object.fromEntries(Object.entries(question.attrs));
    const got = be.tuning.choose(
      { choice: 'rows', candidates: question.candidates, usual: -1 },
      question.entry,
      question.tensors,
      { ...dimsOf(question), ...dims },
    );
    await again.dispose();
    return got;
  };
  put(JSON.stringify({ [question.key]: other }));
  expect(await plan()).toBe(other);
  expect(await plan({ cache: false })).toBe(-1);
  // Records of another version and damaged ones are ignored.
  put(JSON.stringify({ [question.key]: 77 }));
  expect(await plan()).toBe(-1);
  put('{');
  expect(await plan()).toBe(-1);
});

/** Dims of a question, by name. */
const dimsOf = ({
  entry,
  tensors,
}: {
  entry: { tensors: object };
  tensors: Readonly<Record<string, { shape: readonly number[] }>>;
}) =>
  Object.fromEntries(
    Object.entries(entry.tensors as Record<string, { shape: string }>).flatMap(([name, { shape }]) =>
      shape.split(' ').map((dim, i) => [dim, tensors[name]?.shape[i] ?? 0] as const),
    ),
  );

it('abort stops tuning and stores what was measured so far', async () => {
  await clearCache();
  const aim = await make();
  const stop = new AbortController();
  const tuning = aim.tune({ onProgress: ({ loaded }) => loaded === 1 && stop.abort(new Error('enough')), signal: stop.signal });
  await expect(tuning).rejects.toThrow('enough');
  expect(choicesOf(aim).size).toBe(1);
  await aim.dispose();
  const again = await make();
  expect(choicesOf(again).size).toBe(1);
  await again.dispose();
});

it('tuning the training step does not change its losses', async () => {
  const losses = async (tune: boolean) => {
    const model = await make({ cache: false });
    const trainer = new Trainer({ model, data: await codesFor(model), steps: 2, batchSize: 16, evalEvery: 0 });
    if (tune) expect((await trainer.tune()).some(({ kernel }) => kernel.startsWith('linear.'))).toBe(true);
    const seen: number[] = [];
    for await (const { loss } of trainer.run()) seen.push(loss);
    trainer.dispose();
    await model.dispose();
    return seen;
  };
  expect(await losses(true)).toEqual(await losses(false));
});

it('options out of range are refused, and tuning on WASM measures nothing', async () => {
  const aim = await make({ device: 'wasm' });
  await expect(aim.tune({ batchSize: 0 })).rejects.toThrow(/batchSize is 0/);
  expect(await aim.tune()).toEqual([]);
  await aim.dispose();
});
