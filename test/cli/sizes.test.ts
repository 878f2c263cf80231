/** `aim train --size` on tiny pictures: one's own data without a config file. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import type { Command } from '../../src/cli/command.js';
import { trainModel } from '../../src/cli/train/model.js';
import { trainTokenizer } from '../../src/cli/train/tokenizer.js';
import { OptionError } from '../../src/core/errors.js';
import { tokenize } from '../../src/data/codes.js';
import { trainingBytes } from '../../src/train/memory.js';
import { stage2For, tokenizerFor } from '../../src/train/recipe.js';
import { Trainer } from '../../src/train/trainer.js';
import { png } from '../data/data_folders.js';
import { call } from './in_process.js';

let dir: string;
const at = (name: string) => join(dir, name);
const json = (name: string) => JSON.parse(readFileSync(at(name), 'utf8'));

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'aim-cli-sizes-'));
  for (const [c, name] of ['red', 'blue'].entries()) {
    mkdirSync(at(`data/${name}`), { recursive: true });
    for (let i = 0; i < 6; i++)
      writeFileSync(
        at(`data/${name}/${i}.png`),
        png(12, 12, (x, y) => [c ? 20 : 200, (x * i * 9) % 256, c ? 200 : y * 9]),
      );
  }
  writeFileSync(at('data/red/notes.txt'), 'no image');
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const train = (command: Command, ...args: string[]) => call(command, ...args, '--device', 'wasm', '--threads', '1');
const tokenizer = (out: string, ...args: string[]) => train(trainTokenizer, at('data'), '--out', at(out), ...args);
const model = (out: string, ...args: string[]) => train(trainModel, at('data'), '--out', at(out), ...args);

describe('--size', () => {
  let said: string;
  beforeAll(async () => {
    said = await tokenizer('tok', '--size', '8', '--steps', '2', '--eval-every', '2');
  });

  it('chooses a tokenizer and says what will be done', () => {
    expect(json('tok/step-00000002/config.json')).toMatchObject({ num_tokens: 16, vocab_size: 512, num_classes: 2 });
    expect(json('tok/step-00000002/state.json').options).toMatchObject({ lr: 1e-3, schedule: 'cosine', batchSize: 4, steps: 2 });
    expect(said).toContain('data: 10 images + 2 held out\n2 classes: blue 5 + 1, red 5 + 1\n');
    expect(said).toMatch(/skipped 1 file:\n {2}red\/notes\.txt: not a/);
    expect(said).toContain('images: 8×8 pixels as 4×4 = 16 tokens, each 2×2 pixels and one of 512 codes\n');
    expect(said).toMatch(
      /training: tokenizer, [\d.]+ million parameters\nsteps: 2 of 4 images \(1 epoch\); evaluated and saved every 2\n/,
    );
    expect(said).toMatch(/memory: about \d+ MB on the device\n/);
  });

  it('chooses a stage-2 model for that tokenizer, and crops of few images', async () => {
    const args = [
      '--size',
      '8',
      '--preset',
      'tiny',
      '--tokenizer',
      at('tok'),
      '--steps',
      '2',
      '--eval-every',
      '2',
      '--tensorboard',
    ];
    const text = await model('model', ...args);
    expect(json('model/step-00000002/config.json')).toMatchObject({ d_model: 192, n_layer: 6, num_tokens: 16, vocab_size: 512 });
    expect(json('model/step-00000002/state.json').options).toMatchObject({ lr: 5e-4, schedule: 'cosine', weightDecay: 1 });
    expect(json('model/run.json').flags).toMatchObject({ augment: '10' });
    expect(readdirSync(at('model')).filter((name) => name.includes('tfevents'))).toHaveLength(1);
    expect(text).toMatch(/steps: 2 of 4 images \(0\.08 epochs over 10 random crops of each image\)/);
    // The same rows again, without a word about them.
    await train(trainModel, '--resume', '--out', at('model'), '--steps', '3');
    expect(readFileSync(at('model/latest'), 'utf8')).toBe('step-00000003\n');
    for (const [flags, message] of [
      [['--size', '16'], /--size is 16, but the run draws images of 8 pixels/],
      [['--preset', 'small'], /--preset small is another architecture than that of the run/],
      [['--augment', '3'], /was trained with --augment 10/],
    ] as const)
      await expect(train(trainModel, '--resume', '--out', at('model'), ...flags)).rejects.toThrow(message);
  });

  it('says what is missing or does not fit, before anything is made', async () => {
    const refused: [() => Promise<string>, RegExp][] = [
      [
        () => tokenizer('no', '--size', '30'),
        /size is 30, .* 4×4 pixels, .* multiple of 4, such as 28 or 32 \(side = √num_tokens × 2\^/,
      ],
      [() => tokenizer('no', '--size', '300'), /size is 300; it must be a whole number of pixels from 8 to 256/],
      [() => tokenizer('no', '--preset', 'small'), /say the size of the images with --size/],
      [() => model('no', '--size', '9', '--tokenizer', at('tok')), /stands for 2×2 pixels/],
      [() => model('no', '--size', '8'), /train one by `aim train tokenizer DATA --size 8`, or name/],
      [() => model('no', '--preset', 'aim-b'), /with --preset aim-b, stage 2 needs a tokenizer/],
    ];
    for (const [run, message] of refused) {
      const error = await run().catch((e) => e);
      expect(error).toBeInstanceOf(OptionError);
      expect(error.message).toMatch(message);
    }
    expect(existsSync(at('no'))).toBe(false);
  });

  it('yields to flags and to a config file', async () => {
    writeFileSync(at('options.json'), JSON.stringify({ size: 8, lr: 5e-4, model: { d_model: 64, n_layer: 1 } }));
    await model('file', '--config', at('options.json'), '--tokenizer', at('tok'), '--steps', '1', '--batch-size', '2');
    expect(json('file/step-00000001/config.json')).toMatchObject({ d_model: 64, n_layer: 1, num_tokens: 16 });
    expect(json('file/step-00000001/state.json').options).toMatchObject({ lr: 5e-4, batchSize: 2, schedule: 'cosine' });
    writeFileSync(at('options.json'), JSON.stringify({ size: 8, model: { vq_config: { ch: 64 } } }));
    const other = model('no', '--config', at('options.json'), '--tokenizer', at('tok'));
    await expect(other).rejects.toThrow(/another tokenizer than .*tok; leave vq_config and vocab_size out/);
  });
});

it('the memory that is foretold is that of the tensors, but for temporary ones of the tokenizer', async () => {
  const aim = await AiM.fromConfig({ ...stage2For('tiny'), ...tokenizerFor(16), num_classes: 3 }, { device: 'wasm', threads: 1 });
  const image = async () => new Float32Array(16 * 16 * 3);
  const train = { classes: ['a', 'b', 'c'], length: 8, size: 16, label: (i: number) => i % 3, augments: false, skipped: [] };
  const images = { train: { ...train, image, tryImage: image }, eval: undefined };
  const codes = await tokenize(aim, images);
  for (const data of [codes, images]) {
    const trainer = new Trainer({ model: aim, data, steps: 1, batchSize: 8 });
    for await (const _ of trainer.run());
    const ratio = trainingBytes(aim.model, trainer.options) / aim.model.be.bytes;
    trainer.dispose();
    expect(ratio).toBeGreaterThan(0.8);
    expect(ratio).toBeLessThan(data === codes ? 1.1 : 1);
  }
  await aim.dispose();
});
