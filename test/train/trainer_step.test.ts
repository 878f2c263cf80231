/** Trainer.step: batches of the caller's own. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { DisposedError, OptionError } from '../../src/core/errors.js';
import { uniform } from '../../src/core/random.js';
import type { Codes } from '../../src/data/codes.js';
import type { ImageDataset } from '../../src/data/dataset.js';
import type { TrainBatch } from '../../src/train/batch.js';
import { checkpointFiles, heldCheckpoint } from '../../src/train/folder.js';
import type { TrainerOptions } from '../../src/train/options.js';
import { Order } from '../../src/train/order.js';
import { Trainer } from '../../src/train/trainer.js';
import { codesFor, CONFIG as WIDE } from './tiny_model.js';

/** Smaller still: these tests take many steps. */
const CONFIG = { ...WIDE, n_layer: 1, d_model: 16, ssm_cfg: { layer: 'Mamba2' as const, d_state: 4, headdim: 8 } };
const OPTIONS = { batchSize: 4, accumulate: 2, steps: 6, lr: 3e-3, seed: 5, evalEvery: 0, emaDecay: 0.9, labelDropout: 0.3 };

let aim: AiM;
let data: Codes;
beforeAll(async () => {
  aim = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 3 });
  data = await codesFor(aim, 20);
});
afterAll(() => aim.dispose());

const made = async (options: Partial<TrainerOptions> = {}) => {
  const model = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 3 });
  return { model, trainer: new Trainer({ model, data, ...OPTIONS, ...options }) };
};
const ended = async ({ model, trainer }: { model: AiM; trainer: Trainer }) => {
  trainer.dispose();
  await model.dispose();
};

/** The batch that `run` takes as step `step`, counted from 0. */
function batchOf(step: number) {
  const items = [...new Order({ length: data.labels.length, batchSize: 4, seed: 5 }).batch(step)];
  return {
    codes: items.map((i) => data.codes.slice(i * 16, (i + 1) * 16)),
    classes: items.map((i) => data.labels[i]!),
  };
}

/** A copy with another value at index i. */
function changed<A extends Uint32Array | Float32Array>(values: A, i: number, value: number): A {
  const copy = values.slice() as A;
  copy[i] = value;
  return copy;
}

/** All tensors of a checkpoint. */
async function state(trainer: Trainer): Promise<string> {
  const hashes: string[] = [];
  for (const { name, data: bytes } of checkpointFiles(trainer.checkpoint())) {
    if (!name.endsWith('.safetensors')) continue;
    for await (const piece of bytes instanceof Uint8Array ? [bytes] : bytes) hashes.push(Buffer.from(piece).toString('base64'));
  }
  return hashes.join('');
}

describe('stage 2', () => {
  it('with the batches and rates of run() it gives the same figures and state, mixed and resumed too', async () => {
    const whole = await made();
    const want: { step: number; loss: number; lr: number; gradNorm: number }[] = [];
    for await (const { step, loss, lr, gradNorm } of whole.trainer.run()) want.push({ step, loss, lr, gradNorm });
    const after = await state(whole.trainer);
    await ended(whole);

    const mixed = await made();
    const got: typeof want = [];
    const take = (s: (typeof want)[number]) => got.push({ step: s.step, loss: s.loss, lr: s.lr, gradNorm: s.gradNorm });
    take(await mixed.trainer.step(batchOf(0)));
    for await (const step of mixed.trainer.run({ until: 2 })) take(step);
    // run() works one step ahead: step 4 is taken when step 3 is yielded, and reported after step 5.
    for await (const step of mixed.trainer.run()) {
      take(step);
      if (step.step === 3) break;
    }
    expect(mixed.trainer.stepsDone).toBe(4);
    take(await mixed.trainer.step(batchOf(4), { lr: want[4]!.lr }));
    const saved = await heldCheckpoint(mixed.trainer.checkpoint());
    const files = await mixed.model.toFiles();
    for await (const step of mixed.trainer.run()) take(step);
    expect(got.sort((a, b) => a.step - b.step)).toEqual(want);
    expect(await state(mixed.trainer)).toBe(after);
    await ended(mixed);

    const model = await AiM.fromPretrained(files, { device: 'wasm' });
    const resumed = { model, trainer: new Trainer({ model, data, ...OPTIONS }) };
    await resumed.trainer.resume(saved);
    const last = await resumed.trainer.step(batchOf(5));
    expect(last).toMatchObject(want[5]!);
    expect(await state(resumed.trainer)).toBe(after);
    await ended(resumed);
  });

  it('takes the learning rate given, beyond the last step too, and names for classes', async () => {
    const one = await made({ steps: 1 });
    const first = await one.trainer.step({ codes: batchOf(0).codes, classes: ['a', 'b', null, 'c'] }, { lr: 0 });
    expect(first).toMatchObject({ step: 1, lr: 0 });
    expect(first.loss).toBeGreaterThan(0);
    expect(first.gradNorm).toBeGreaterThan(0);
    await expect(one.trainer.step(batchOf(1))).rejects.toThrow(/all 1 steps of the schedule are taken; give lr/);
    expect(await one.trainer.step(batchOf(1), { lr: 1e-3 })).toMatchObject({ step: 2, lr: 1e-3 });
    await ended(one);
  });

  it('a trainer without data has no run and no end', async () => {
    const { trainer, model } = await made({
      data: undefined,
      stage: 'model',
      steps: undefined,
      labelDropout: 0,
      evalEvery: undefined,
    } as Partial<TrainerOptions>);
    expect(trainer.options).toMatchObject({ schedule: 'constant', lr: 3e-3, steps: Number.MAX_SAFE_INTEGER });
    await expect(trainer.run().next()).rejects.toThrow(/this trainer has no data/);
    await expect(trainer.evaluate()).rejects.toThrow(/no held-out images; give a batch/);
    const batch = batchOf(0);
    const held = { codes: [...batch.codes, batch.codes[0]!], classes: 1 };
    const before = await trainer.evaluate({ batch: held });
    const losses = [];
    for (let i = 0; i < 6; i++) losses.push((await trainer.step(batch)).loss);
    expect(losses.at(-1)!).toBeLessThan(losses[0]!);
    expect((await trainer.evaluate({ batch: held })).loss).not.toBe(before.loss);
    await ended({ trainer, model });
  });

  it('refuses batches and calls that do not fit, and a refused batch changes nothing', async () => {
    const { trainer, model } = await made();
    const { codes, classes } = batchOf(0);
    const wrong: [unknown, RegExp, object?][] = [
      [undefined, /^step: the batch is undefined; pass an object with codes and classes/],
      [{ codes }, /the batch has no classes/],
      [{ images: [] }, /the batch has no codes/],
      [{ codes, classes, labels: [] }, /the batch has labels, which is not used/],
      [{ codes: 5, classes }, /the codes are 5/],
      [{ codes: codes.slice(1), classes: classes.slice(1) }, /3 images, and batchSize of this trainer is 4/],
      [{ codes, classes: classes.slice(1) }, /3 classes for 4 images/],
      [{ codes: [...codes.slice(1), [1, 2]], classes }, /image 3 has 2 codes; this model has 16/],
      [{ codes: [...codes.slice(1), Array(16).fill(32)], classes }, /code 0 of image 3 is 32; codes go from 0 to 31/],
      [{ codes, classes: [0, 1, 2, 3] }, /there is no class 3/],
      [{ codes, classes }, /lr is -1/, { lr: -1 }],
      [{ codes, classes }, /there is no option "rate"/, { rate: 1 }],
    ];
    for (const [batch, message, options] of wrong) {
      const error = await trainer.step(batch as TrainBatch, options).catch((e) => e);
      expect(error, String(message)).toBeInstanceOf(OptionError);
      expect(error.message).toMatch(message);
    }
    expect(trainer.stepsDone).toBe(0);
    const [first, second] = await Promise.allSettled([trainer.step(batchOf(0)), trainer.step(batchOf(0))]);
    expect([first.status, second.status]).toEqual(['fulfilled', 'rejected']);
    expect(String((second as PromiseRejectedResult).reason)).toMatch(/step\(\) of this trainer is under way/);
    await trainer.withEma(async () => expect(trainer.step(batchOf(1))).rejects.toThrow(/inside withEma/));
    trainer.dispose();
    await expect(trainer.step(batchOf(1))).rejects.toThrow(DisposedError);
    await model.dispose();
  });

  it('refuses data of the wrong size or range, and a trainer without a purpose', () => {
    const labels = changed(data.labels, 3, 3);
    const wrong: [object, RegExp][] = [
      [{ data: { ...data, labels } }, /^data: label 3 is 3; it must be from 0 to 2/],
      [{ data: { ...data, codes: changed(data.codes, 5, 99) } }, /^data: code 5 is 99/],
      [{ data: { ...data, codes: data.codes.slice(1) } }, /319 codes and 20 labels.*must be 320/],
      [{ data: { ...data, labels: [...data.labels] } }, /must be Uint32Arrays/],
      [{ data: { ...data, eval: { codes: data.codes, labels } } }, /^data.eval: label 3/],
      [{ data: 5 }, /the data is 5/],
      [{ stage: undefined, data: undefined }, /give it data, or say by stage/],
      [{ stage: 'tokenizer' }, /stage is tokenizer, and this data trains the model/],
      [{ stage: 'both', data: undefined }, /stage is "both"; it must be 'model' or 'tokenizer'/],
      [{ stage: 'model', data: undefined, steps: undefined, epochs: 1 }, /epochs are passes over the data/],
      [{ stage: 'model', data: undefined, steps: undefined, schedule: 'cosine' }, /cosine needs an end/],
    ];
    for (const [options, message] of wrong) {
      const make = () => new Trainer({ model: aim, data, ...OPTIONS, ...options } as TrainerOptions);
      expect(make, String(message)).toThrow(OptionError);
      expect(make).toThrow(message);
    }
  });
});

describe('the tokenizer', () => {
  const size = 8;
  const pixels = (i: number) => Float32Array.from({ length: size * size * 3 }, (_, k) => 2 * uniform(1, 'image', i, k) - 1);
  const images: ImageDataset = {
    classes: ['a'],
    length: 8,
    size,
    augments: false,
    skipped: [],
    label: () => 0,
    tryImage: async (i) => pixels(i),
    image: async (i) => pixels(i),
  };

  it('steps of a data set of its own are those of the same batches', async () => {
    const options = { data: { train: images, eval: undefined }, batchSize: 2, accumulate: 1, steps: 2, labelDropout: 0 };
    const whole = await made(options);
    const want = [];
    for await (const { loss, gradNorm } of whole.trainer.run()) want.push({ loss, gradNorm });
    await ended(whole);
    const own = await made({ ...options, data: undefined, stage: 'tokenizer' } as unknown as TrainerOptions);
    const got = [];
    for (let step = 0; step < 2; step++) {
      const items = [...new Order({ length: 8, batchSize: 2, seed: 5 }).batch(step)];
      const { loss, gradNorm } = await own.trainer.step({ images: items.map(pixels) });
      got.push({ loss, gradNorm });
    }
    expect(got).toEqual(want);

    const bytes = { width: size, height: size, data: new Uint8ClampedArray(size * size * 4) };
    const wrong: [unknown, RegExp][] = [
      [{ codes: [], classes: [] }, /the batch has no images; pass images, because the tokenizer is trained/],
      [{ images: 3 }, /the images are 3/],
      [{ images: [bytes, pixels(0).slice(1)] }, /image 1 has 191 values; this tokenizer takes 8×8/],
      [{ images: [bytes, { ...bytes, width: 4 }] }, /image 1 is 4×8/],
      [{ images: [bytes, { ...bytes, data: new Uint8Array(5) }] }, /image 1 has 5 values, 8×8×4 are expected/],
      [{ images: [null, bytes] }, /image 0 is null/],
      [{ images: [bytes, changed(pixels(0), 7, 1.5)] }, /value 7 of image 1 is 1.5; pixels go from -1 to 1/],
      [{ images: [bytes, changed(pixels(0), 7, Number.NaN)] }, /value 7 of image 1 is NaN/],
    ];
    for (const [batch, message] of wrong) await expect(own.trainer.step(batch as TrainBatch, { lr: 0 })).rejects.toThrow(message);
    expect(own.trainer.stepsDone).toBe(2);
    expect((await own.trainer.step({ images: [bytes, bytes] }, { lr: 0 })).step).toBe(3);
    await ended(own);

    const short = { ...images, image: async () => new Float32Array(5) };
    const broken = await made({ ...options, data: { train: short, eval: undefined } });
    await expect(broken.trainer.run().next()).rejects.toThrow(/the data set gives 5 values for image \d; .*192/);
    await ended(broken);
  });
});
