/** The trainer: the same losses on every backend, resuming, gradients that are not finite, and the CLI around it. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { CheckpointError, OptionError, TrainingError } from '../../src/core/errors.js';
import { uniform } from '../../src/core/random.js';
import { encodeCodes } from '../../src/data/codes.js';
import type { ImageDataset } from '../../src/data/dataset.js';
import { writeAtomic } from '../../src/platform/files.js';
import type { TrainerOptions } from '../../src/train/options.js';
import type { TrainStep } from '../../src/train/report.js';
import { Trainer } from '../../src/train/trainer.js';
import { deviceOptions, hasAdapter, NO_ADAPTER } from '../backends.js';
import { CONFIG, codesFor } from './tiny_model.js';

/** A trainer on the small data, of 12 images a step. */
const open = async (aim: AiM, options: Partial<TrainerOptions>) =>
  new Trainer({ model: aim, data: await codesFor(aim), batchSize: 12, lr: 3e-3, seed: 5, evalEvery: 0, ...options });

async function losses(
  device: 'reference' | 'wasm' | 'webgpu',
  options: Partial<TrainerOptions>,
  config = CONFIG,
): Promise<number[]> {
  const aim = await AiM.fromConfig(config, { ...(await deviceOptions(device)), seed: 3 });
  const trainer = await open(aim, options);
  const out: number[] = [];
  for await (const { loss } of trainer.run()) out.push(loss);
  trainer.dispose();
  await aim.dispose();
  return out;
}

const near = (got: number[], want: number[], allowed: number) => {
  expect(got).toHaveLength(want.length);
  got.forEach((v, i) => {
    expect(Math.abs(v - want[i]!), `step ${i + 1}: ${v}, expected ${want[i]}`).toBeLessThan(allowed);
  });
};

describe('stage 2 (the AiM model)', () => {
  it('losses on WASM match the float64 reference for 50 steps and decrease', async () => {
    const want = await losses('reference', { steps: 50, schedule: 'cosine' });
    near(await losses('wasm', { steps: 50, schedule: 'cosine' }), want, 1e-3);
    expect(want.at(-1)!).toBeLessThan(0.85 * want[0]!);
  });

  it('losses match the reference with Mamba-1 and adaLN per layer', async () => {
    const config = { ...CONFIG, ssm_cfg: { layer: 'Mamba1' as const }, adaln_group: false };
    near(await losses('wasm', { steps: 10 }, config), await losses('reference', { steps: 10 }, config), 1e-3);
  });

  it('losses on WebGPU match the float64 reference', async ({ skip }) => {
    if (!(await hasAdapter())) return skip(NO_ADAPTER);
    near(await losses('webgpu', { steps: 6 }), await losses('reference', { steps: 6 }), 1e-3);
  });

  it('gradient accumulation gives the same result as the whole batch', async () => {
    const whole = await paramsAfter({ steps: 3 });
    const parts = await paramsAfter({ steps: 3, accumulate: 3 });
    whole.forEach((v, i) => {
      expect(Math.abs(v - parts[i]!)).toBeLessThan(2e-5);
    });
  });

  async function paramsAfter(options: Partial<TrainerOptions>): Promise<number[]> {
    const aim = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 3 });
    const trainer = await open(aim, { lr: 1e-3, ...options });
    for await (const _ of trainer.run()) void _;
    const values = [...(await aim.model.be.read(aim.model.params.mamba.backbone.embeddings.word_embeddings.weight))];
    trainer.dispose();
    await aim.dispose();
    return values;
  }

  it('a loss scale changes results by rounding only, and steps that overflow are skipped', async ({ skip }) => {
    const options = { steps: 12, schedule: 'constant' as const };
    const want = await losses('wasm', options);
    near(await losses('wasm', { ...options, lossScale: 1024 }), want, 1e-4);
    if (await hasAdapter()) near(await losses('webgpu', { ...options, steps: 3, lossScale: 1024 }), want.slice(0, 3), 1e-3);

    const aim = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 3 });
    const trainer = await open(aim, { ...options, lossScale: 2 ** 68 });
    const steps = [];
    for await (const step of trainer.run()) steps.push(step);
    const skipped = steps.filter((s) => s.skipped);
    expect(skipped.length).toBeGreaterThan(0);
    expect(skipped.length).toBeLessThan(12);
    skipped.forEach((s, i) => {
      expect(s.lossScale).toBe(2 ** (67 - i));
    });
    expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss);
    trainer.dispose();
    await aim.dispose();
    if (!(await hasAdapter())) skip(`without WebGPU: ${NO_ADAPTER}`);
  });

  it('a run that is left or aborted at any step and continued yields every step once, with the same results', async () => {
    const options = { steps: 7, evalEvery: 3, evalItems: 8 };
    const figures = ({ step, loss, eval: held }: TrainStep) => ({ step, loss, held });
    const began = async () => {
      const aim = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 3 });
      return { aim, trainer: await open(aim, options) };
    };
    const whole = await began();
    const want = [];
    for await (const step of whole.trainer.run()) want.push(figures(step));

    const { aim, trainer } = await began();
    const got: ReturnType<typeof figures>[] = [];
    const signal = AbortSignal.abort(new Error('enough'));
    while (got.length < 7) {
      await expect(trainer.run({ signal }).next()).rejects.toThrow('enough');
      for await (const step of trainer.run()) {
        got.push(figures(step));
        break;
      }
      if (got.length !== 4) continue;
      // Yields only the step that was submitted ahead.
      for await (const step of trainer.run({ until: trainer.stepsDone })) got.push(figures(step));
      expect([trainer.stepsDone, got.length]).toEqual([5, 5]);
    }
    for await (const step of trainer.run()) got.push(figures(step));
    expect(got).toEqual(want);
    for (const each of [whole, { aim, trainer }]) {
      each.trainer.dispose();
      await each.aim.dispose();
    }
  });

  it('a gradient that is not finite ends the run, naming step and tensor, and leaves the weights finite', async () => {
    const aim = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 3 });
    const trainer = new Trainer({ model: aim, data: await codesFor(aim), batchSize: 12, steps: 9, lr: 1e-3, evalEvery: 0 });
    const norm = aim.model.params.mamba.backbone.norm_f.weight;
    const word = aim.model.params.mamba.backbone.embeddings.word_embeddings.weight;
    let before: Float32Array | undefined;
    const error = await (async () => {
      for await (const { step } of trainer.run()) {
        if (step !== 3) continue;
        aim.model.be.write(norm, Float32Array.of(Number.NaN), 5);
        before = Float32Array.from(await aim.model.be.read(word));
      }
    })().catch((e) => e);
    expect(error).toBeInstanceOf(TrainingError);
    expect(error.message).toMatch(/step [45]: the gradient of mamba\.backbone\..* is not finite.*lower lr/);
    // One step had been submitted when the weight was changed.
    expect(trainer.stepsDone).toBeLessThanOrEqual(4);
    expect(Float32Array.from(await aim.model.be.read(word)).every(Number.isFinite)).toBe(true);
    expect(before).toBeDefined();
    trainer.dispose();
    await aim.dispose();
  });

  it('a second concurrent run is refused, and so is an earlier run after a later one has started', async () => {
    const aim = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 3 });
    const trainer = await open(aim, { steps: 4 });
    const [first, second] = [trainer.run(), trainer.run()];
    const both = await Promise.allSettled([first.next(), second.next()]);
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect((both[1] as PromiseRejectedResult).reason).toBeInstanceOf(OptionError);
    expect(String((both[1] as PromiseRejectedResult).reason)).toMatch(/run\(\) of this trainer is under way/);
    const third = trainer.run();
    expect((await third.next()).value?.step).toBe(2);
    await expect(first.next()).rejects.toThrow(/another run\(\) of this trainer has begun/);
    expect((await third.next()).value?.step).toBe(3);
    trainer.dispose();
    await aim.dispose();
  });

  it('refuses data and options that do not fit the model', async () => {
    const aim = await AiM.fromConfig(CONFIG, { device: 'wasm' });
    const data = await codesFor(aim);
    const wrong: [Partial<TrainerOptions>, RegExp][] = [
      [{ batchSize: 61 }, /only 60 training images/],
      [{ batchSize: 10, accumulate: 4 }, /accumulate is 4/],
      [{ lr: 0 }, /lr is 0/],
      [{ steps: 10, warmup: 11 }, /warmup is 11/],
      [{ emaDecay: 1 }, /emaDecay is 1/],
      [{ epochs: 1, steps: 1 }, /both given/],
      [{ labelDropout: 2 }, /labelDropout is 2/],
      [{ evalItems: 1.5 }, /evalItems is 1.5/],
      [{ evalItems: -3 }, /evalItems is -3/],
      [{ betas: [1, 1] }, /betas is \[1,1\]/],
      [{ betas: [Number.NaN, 0.9] }, /betas is/],
      [{ eps: Number.NaN }, /eps is NaN/],
      [{ lossScale: 0.5 }, /lossScale is 0.5/],
      [{ learningRate: 1 } as Partial<TrainerOptions>, /Trainer: there is no option "learningRate"/],
      [{ batchsize: 1 } as Partial<TrainerOptions>, /did you mean batchSize\?/],
      [{ model: {} as AiM }, /the model must be an AiM of 'aim-js'/],
    ];
    for (const [options, message] of wrong) {
      expect(() => new Trainer({ model: aim, data, ...options })).toThrow(OptionError);
      expect(() => new Trainer({ model: aim, data, ...options })).toThrow(message);
    }
    const foreign = new Trainer({ model: aim, data: { ...data, fingerprint: '0'.repeat(64) }, steps: 1 });
    await expect(foreign.run().next()).rejects.toThrow(CheckpointError);
    foreign.dispose();
    await aim.dispose();
  });
});

it('losses of the tokenizer on WASM match the float64 reference', async () => {
  const size = 8;
  const images: ImageDataset = {
    classes: ['a'],
    length: 6,
    size,
    augments: false,
    skipped: [],
    label: () => 0,
    tryImage: async (i) => Float32Array.from({ length: size * size * 3 }, (_, k) => 2 * uniform(1, 'image', i, k) - 1),
    image: (i, mode) => images.tryImage(i, mode) as Promise<Float32Array>,
  };
  const run = async (device: 'wasm' | 'reference') => {
    const aim = await AiM.fromConfig(CONFIG, { ...deviceOptions(device), seed: 2 });
    const trainer = new Trainer({
      model: aim,
      data: { train: images, eval: images },
      batchSize: 3,
      steps: 5,
      lr: 1e-3,
      evalItems: 4,
    });
    const out: number[] = [];
    for await (const step of trainer.run()) {
      out.push(step.loss);
      if (step.eval) out.push(step.eval.loss!);
    }
    trainer.dispose();
    await aim.dispose();
    return out;
  };
  near(await run('wasm'), await run('reference'), 1e-3);
});

describe('aim train', () => {
  const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
  let dir: string;
  const aim = (...args: string[]) => spawnSync(process.execPath, [cli, ...args, '--device', 'wasm'], { encoding: 'utf8' });
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'aim-train-'));
    const model = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 1 });
    await writeAtomic(`${dir}/codes.safetensors`, encodeCodes(await codesFor(model)));
    const trainer = new Trainer({ model, data: await codesFor(model), steps: 1 });
    const { saveCheckpoint } = await import('../../src/train/folder.js');
    await saveCheckpoint(`${dir}/base`, trainer.checkpoint());
    trainer.dispose();
    await model.dispose();
    writeFileSync(
      `${dir}/o.json`,
      JSON.stringify({
        batchSize: 6,
        accumulate: 2,
        lr: 2e-3,
        steps: 20,
        evalEvery: 10,
        emaDecay: 0.9,
        labelDropout: 0.3,
        seed: 4,
      }),
    );
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  const common = (out: string) => [
    'train',
    'model',
    `${dir}/codes.safetensors`,
    '--init',
    `${dir}/base`,
    '--config',
    `${dir}/o.json`,
    '--out',
    `${dir}/${out}`,
  ];
  const parts = ['model', 'optimizer', 'ema'];
  const bytes = (run: string, part: string) => readFileSync(`${dir}/${run}/step-00000020/${part}.safetensors`);

  it('a run resumed by another process is bit-identical to an uninterrupted one', () => {
    const whole = aim(...common('whole'));
    expect(whole.status, whole.stderr).toBe(0);
    // The run of ten steps shares all options but its end; what it saved at step 10 is what an interrupted run would hold.
    expect(aim(...common('halves')).status).toBe(0);
    rmSync(`${dir}/halves/step-00000020`, { recursive: true });
    writeFileSync(`${dir}/halves/latest`, 'step-00000010\n');
    const resumed = aim(...common('halves'), '--resume');
    expect(resumed.status, resumed.stderr).toBe(0);
    for (const part of parts) expect(bytes('halves', part).equals(bytes('whole', part)), part).toBe(true);
    const lines = (run: string) =>
      readFileSync(`${dir}/${run}/metrics.jsonl`, 'utf8')
        .trim()
        .split('\n')
        .map((l) => JSON.parse(l));
    expect(lines('halves').map((l) => [l.step, l.loss])).toEqual(lines('whole').map((l) => [l.step, l.loss]));
    expect(readdirSync(`${dir}/whole`).sort()).toEqual([
      'latest',
      'loss.svg',
      'metrics.jsonl',
      'run.json',
      'samples',
      'step-00000010',
      'step-00000020',
    ]);
  });

  it('an interrupted run has logged every step that its checkpoint contains', async ({ skip }) => {
    if (process.platform === 'win32') return skip('Windows ends processes without these signals');
    const lines = () => readFileSync(`${dir}/cut/metrics.jsonl`, 'utf8').trim().split('\n').filter(Boolean);
    const child = spawn(process.execPath, [cli, ...common('cut'), '--device', 'wasm'], { stdio: 'ignore' });
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
    const watch = setInterval(() => {
      if (!existsSync(`${dir}/cut/metrics.jsonl`) || lines().length < 2) return;
      clearInterval(watch);
      child.kill('SIGINT');
    }, 1);
    const code = await ended;
    clearInterval(watch);
    const saved = Number(/\d+/.exec(readFileSync(`${dir}/cut/latest`, 'utf8'))![0]);
    console.log(`interrupted at step ${saved}`);
    const logged = lines().map((l) => JSON.parse(l).step);
    expect(logged).toEqual(Array.from({ length: logged.length }, (_, i) => i + 1));
    // On a busy machine the run may already be at an evaluation, which is not repeated, or at its end.
    expect(saved - logged.length).toBeLessThanOrEqual(saved % 10 ? 0 : 1);
    expect(saved < 20 ? [130] : [0, 130]).toContain(code);
  });

  it('a checkpoint can be drawn with, and its export is small', () => {
    expect(aim('generate', `${dir}/whole`, '--out', `${dir}/a.png`).status).toBe(0);
    const { status, stderr } = spawnSync(process.execPath, [cli, 'export', `${dir}/whole`, '--ema', '--out', `${dir}/small`], {
      encoding: 'utf8',
    });
    expect(status, stderr).toBe(0);
    expect(aim('generate', `${dir}/small`, '--class', 'a,b', '--out', `${dir}/b.png`).status).toBe(0);
    expect(readFileSync(`${dir}/small/model.safetensors`).length).toBeLessThan(bytes('whole', 'model').length * 0.55);
  });

  it('refuses to overwrite a run or to resume it with other options', () => {
    const again = aim(...common('whole'));
    expect([again.status, again.stderr]).toEqual([2, expect.stringMatching(/holds a run already; go on with --resume/)]);
    const other = aim(...common('whole'), '--resume', '--batch-size', '5');
    expect([other.status, other.stderr]).toEqual([
      2,
      expect.stringMatching(/trained with batchSize 6, now it is 5; leave --batch-size out/),
    ]);
    const none = aim(...common('nothing'), '--resume');
    expect([none.status, none.stderr]).toEqual([2, expect.stringMatching(/no folder/)]);
    const data = aim('train', 'tokenizer', `${dir}/codes.safetensors`, '--out', `${dir}/x`);
    expect([data.status, data.stderr]).toEqual([2, expect.stringMatching(/tokenizer is trained on images/)]);
    const batch = aim(...common('y'), '--batch-size', '62');
    expect([batch.status, batch.stderr]).toEqual([2, expect.stringMatching(/only 60 training images/)]);
    // What is refused leaves no folder.
    for (const name of ['x', 'y', 'nothing']) expect(existsSync(`${dir}/${name}`), name).toBe(false);
  });
});
