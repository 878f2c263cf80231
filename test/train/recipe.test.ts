/** What is chosen for training on one's own pictures. */
import { describe, expect, it, vi } from 'vitest';
import { forecast } from '../../src/cli/train/forecast.js';
import { OptionError } from '../../src/core/errors.js';
import { parseConfig } from '../../src/model/config.js';
import { PRESETS } from '../../src/model/presets.js';
import { checkSettings, type RunSettings, runOptions } from '../../src/train/options.js';
import { cropsFor, PRESET_NAMES, presetLike, recipe, stage2For, tokenizerFor, tokensOf } from '../../src/train/recipe.js';

describe('the tokenizer for a size', () => {
  it('draws images of that size, with at most 256 tokens', () => {
    for (const size of [8, 16, 20, 32, 48, 64, 96, 128, 192, 256])
      for (const preset of PRESET_NAMES) {
        const config = parseConfig({ ...stage2For(preset), ...tokenizerFor(size), num_classes: 3 });
        expect(config.image_size).toBe(size);
        expect(config.num_tokens).toBeLessThanOrEqual(256);
      }
  });

  it('is refused with the sizes that there are', () => {
    for (const [size, message] of [
      [7, /size is 7; it must be a whole number of pixels from 8 to 256/],
      [257, /size is 257;/],
      [12.5, /size is 12.5;/],
      [66, /size is 66, .* 8×8 pixels, .* such as 64 or 72 \(side = √num_tokens × 2\^\(levels − 1\)/],
    ] as const) {
      const refused = () => tokenizerFor(size);
      expect(refused).toThrow(OptionError);
      expect(refused).toThrow(message);
    }
    expect(() => tokensOf(2, 4)).toThrow(/such as 4 \(/);
  });
});

it("the paper's presets are those of the paper", () => {
  for (const name of Object.keys(PRESETS) as (keyof typeof PRESETS)[])
    expect({ ...stage2For(name), vocab_size: 16384, num_classes: 1000, num_tokens: 256 }).toEqual(PRESETS[name]);
});

describe('the options for a number of images', () => {
  const facts = { heldOut: 100, size: 64, preset: 'small', given: {} } as const;
  /** All options as the trainer has them. Throws for those that it refuses. */
  const options = (stage: 'tokenizer' | 'model', images: number, more: Partial<Parameters<typeof recipe>[1]> = {}) => {
    const chosen = recipe(stage, { ...facts, images, ...more });
    const rows = images * Math.max(1, more.crops ?? 0);
    const stepsPerEpoch = Math.floor(rows / (chosen.batchSize ?? 32));
    const ofRun = { stage, stepsPerEpoch, evalLength: 100, lossScale: 0, perceptual: 'none', size: 64 };
    return runOptions(checkSettings(chosen), ofRun);
  };

  it('a discriminator begins after a quarter of the steps, at most at that of LlamaGen', () => {
    const start = (given: RunSettings) =>
      options('tokenizer', 1000, { given: { discriminator: 'patchgan', ...given } }).discStart;
    expect([start({ steps: 400 }), start({ steps: 1e6 }), start({ steps: 400, discStart: 7 })]).toEqual([100, 20_000, 7]);
    expect(options('tokenizer', 1000)).toMatchObject({ discriminator: 'none', loss: 'l2', restartCodes: 0 });
  });

  it('suits a trainer, whether there are one or a million', () => {
    for (const stage of ['tokenizer', 'model'] as const)
      for (const images of [1, 2, 3, 10, 50, 500, 2000, 60_000, 1_200_000])
        for (const preset of PRESET_NAMES) {
          const o = options(stage, images, { preset });
          expect(o.batchSize).toBeLessThanOrEqual(images);
          expect(o.steps * o.batchSize).toBeGreaterThanOrEqual(Math.min(8000, images) * 0.9);
          expect(o.steps * o.batchSize).toBeGreaterThanOrEqual(images * 0.9);
          expect(o.steps).toBeGreaterThan(100);
          expect(o.warmup * 19).toBeLessThan(o.steps);
        }
  });

  it('for 2,000 pictures of 64×64', () => {
    expect(options('tokenizer', 2000)).toMatchObject({ batchSize: 64, steps: 2344, lr: 1e-3, schedule: 'cosine', warmup: 117 });
    expect(options('model', 2000, { crops: 10 })).toMatchObject({
      batchSize: 64,
      steps: 3125,
      lr: 1.5e-3,
      warmup: 156,
      evalEvery: 195,
    });
    // Small batches have noisier gradients.
    expect(options('model', 40)).toMatchObject({ batchSize: 4, lr: 3.8e-4 });
  });

  it('follows what is given', () => {
    const given = { batchSize: 8, lr: 0.5, warmup: 3, evalItems: 7 };
    expect(options('model', 2000, { given })).toMatchObject({ ...given, steps: 25_000 });
    expect(options('model', 2000, { given: { steps: 40 } })).toMatchObject({ steps: 40, warmup: 2, evalEvery: 3 });
    // 2 epochs over 10 crops of each image.
    expect(options('model', 320, { crops: 10, given: { epochs: 2 } })).toMatchObject({ batchSize: 32, steps: 200, warmup: 10 });
  });

  it('are those of a model as wide, where none is named', () => {
    expect([32, 192, 193, 384, 512, 513, 2048].map(presetLike)).toEqual([
      'tiny',
      'tiny',
      'small',
      'base',
      'large',
      'aim-b',
      'aim-b',
    ]);
  });

  it('crops few images more often', () => {
    expect([10, 2000, 5000, 19_999, 20_000, 1e6].map(cropsFor)).toEqual([10, 10, 4, 2, 0, 0]);
  });
});

it('the time of a run is told once, from measured steps, with advice where it is long', () => {
  let now = 0;
  const spy = vi.spyOn(performance, 'now').mockImplementation(() => now);
  const say = (steps: number, seconds: number, from = 0) => {
    now = 0;
    const tell = forecast(from);
    const said = [];
    for (let step = from + 1; step <= steps && step < from + 60; step++) {
      // The first step compiles.
      now += (step === from + 1 ? 100 : seconds) * 1000;
      const text = tell({ step, steps });
      if (text) said.push([step, text]);
    }
    return said;
  };
  try {
    expect(say(2000, 0.3)).toEqual([[21, 'time: 0.3 s a step, so about 10 min more without evaluations']]);
    expect(say(2000, 6, 500)).toEqual([
      [506, 'time: 6 s a step, so about 2 h 29 min more without evaluations; stopped and resumed with --steps 1106, about 1 h'],
    ]);
    expect(say(50, 0.01)).toEqual([]);
  } finally {
    spy.mockRestore();
  }
});
