/** Weights from checkpoints: names with prefixes, comparison before memory is taken, and the record of their origin. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { AiM, type LoadOptions } from '../../src/aim.js';
import { modelHeader } from '../../src/checkpoint/names.js';
import { bytesSource } from '../../src/checkpoint/source.js';
import { CheckpointError, OptionError } from '../../src/core/errors.js';
import { parseHeader, readFloats, type TensorData, writeSafetensors } from '../../src/io/safetensors.js';
import { checkHalves } from '../../src/model/load.js';
import { type Origin, type Part, type TrainingOrigin, withOrigin } from '../../src/model/origin.js';
import { fixture } from '../goldens.js';

const SMALL = fixture('mamba2-adaln');
const config = readFileSync(`${SMALL}/config.json`, 'utf8');
let tensors: TensorData[];

beforeAll(async () => {
  const source = bytesSource(readFileSync(`${SMALL}/model.safetensors`));
  const header = await parseHeader(source);
  tensors = [];
  for (const [name, { shape }] of header.tensors) {
    const data = await readFloats(source, header, name);
    tensors.push({ name, shape, dtype: 'F32', data: () => data });
  }
});

/** The weights as a file whose tensors have other names. */
async function renamed(rename: (name: string, i: number) => string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of writeSafetensors(tensors.map((t, i) => ({ ...t, name: rename(t.name, i) })))) parts.push(part.slice());
  return Buffer.concat(parts);
}

const load = async (weights: Uint8Array, options: LoadOptions = {}) =>
  AiM.fromPretrained({ config, weights }, { device: 'wasm', ...options });

describe('names with the prefixes of wrappers', () => {
  let want: Uint32Array[];
  beforeAll(async () => {
    const aim = await AiM.fromPretrained(SMALL, { device: 'wasm' });
    want = (await aim.generate({ count: 2, seed: 4 })).tokens;
    await aim.dispose();
  });

  for (const [prefix, rename] of Object.entries({
    'module.': (n: string) => `module.${n}`,
    '_orig_mod.': (n: string) => `_orig_mod.${n}`,
    'model.': (n: string) => `model.${n}`,
    'module._orig_mod.': (n: string) => `module._orig_mod.${n}`,
    'model.module.': (n: string) => `model.module.${n}`,
    'mamba._orig_mod.': (n: string) => n.replace(/^mamba\./, 'mamba._orig_mod.'),
  }))
    it(`${prefix} is stripped`, async () => {
      const aim = await load(await renamed(rename));
      expect((await aim.generate({ count: 2, seed: 4 })).tokens).toEqual(want);
      expect(aim.ignored).toEqual([]);
      await aim.dispose();
    });

  it('are refused if one name lacks the prefix or two names become equal', async () => {
    await expect(load(await renamed((n, i) => (i === 3 ? `other.${n}` : `module.${n}`)))).rejects.toThrow(
      /has no tensor .*do not belong together/,
    );
    const header = await parseHeader(bytesSource(await renamed((n) => n)));
    const twice = new Map(
      [...header.tensors].flatMap(([n, entry]) => [[`module.${n}`, entry] as const, [`model.${n}`, entry] as const]),
    );
    expect(() => modelHeader({ ...header, tensors: twice }, 'twice')).toThrow(CheckpointError);
  });
});

describe('a config that does not match the file', () => {
  it('is refused before any memory is allocated', async () => {
    // 2^24 classes of 64 numbers: 4 GiB, more than WASM can have.
    const large = JSON.stringify({ ...JSON.parse(config), num_classes: 2 ** 24 - 1 });
    const weights = readFileSync(`${SMALL}/model.safetensors`);
    const error = await AiM.fromPretrained({ config: large, weights }, { device: 'wasm' }).catch((e) => e);
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(/embedding_table.weight has shape .*do not belong together/);
  });
});

it('a value too large for float16 is refused, naming tensor, index and remedy', () => {
  expect(() => checkHalves(Float32Array.of(1, 65519, -65519.9), 'w')).not.toThrow();
  expect(() => checkHalves(Float32Array.of(1, -65520), 'file: w', 8)).toThrow(CheckpointError);
  expect(() => checkHalves(Float32Array.of(1, -65520), 'file: w', 8)).toThrow(
    "file: w has -65520 at index 9, too large for float16; load it with dtype 'f32'.",
  );
});

it('classes.json and config.json may begin with a byte order mark', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'aim-bom-'));
  try {
    const { num_classes } = JSON.parse(config);
    writeFileSync(`${dir}/config.json`, `\uFEFF${config}`);
    writeFileSync(`${dir}/classes.json`, `\uFEFF${JSON.stringify(Array.from({ length: num_classes }, (_, i) => `c${i}`))}`);
    writeFileSync(`${dir}/model.safetensors`, readFileSync(`${SMALL}/model.safetensors`));
    const aim = await AiM.fromPretrained(dir, { device: 'wasm' });
    expect(aim.classes?.[1]).toBe('c1');
    await aim.dispose();
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

describe('options of fromPretrained and fromConfig', () => {
  const wrong: [object, RegExp][] = [
    [{ dtypes: 'f16' }, /fromPretrained: there is no option "dtypes"; did you mean dtype\?/],
    [{ dtype: 'f64' }, /dtype is "f64"; it must be 'auto', 'f32' or 'f16'/],
    [{ threads: '4' }, /threads is "4"; it must be an integer from 1 to 64/],
    [{ precision: 'half' }, /precision is "half"/],
    [{ onProgress: 1 }, /onProgress is 1; it must be a function/],
    [{ device: 'cuda' }, /device is "cuda"/],
  ];
  for (const [options, message] of wrong)
    it(`refuses ${JSON.stringify(options)}`, async () => {
      const error = await AiM.fromPretrained(SMALL, { device: 'wasm', ...options } as LoadOptions).catch((e) => e);
      expect(error).toBeInstanceOf(OptionError);
      expect(error.message).toMatch(message);
    });

  it('refuses seeds of fresh weights out of range, and uses all bits of valid ones', async () => {
    const json = JSON.parse(config);
    for (const seed of [-1, 1.5, Number.NaN, '3'])
      await expect(AiM.fromConfig(json, { device: 'wasm', seed: seed as number })).rejects.toThrow(/seed is/);
    const weights = async (seed: number) => {
      const aim = await AiM.fromConfig(json, { device: 'wasm', seed });
      const values = await aim.model.read('mamba.backbone.embeddings.word_embeddings.weight');
      await aim.dispose();
      return values.slice(0, 8);
    };
    expect(await weights(2 ** 32 + 5)).not.toEqual(await weights(5));
  });
});

describe('the recorded origin of weights', () => {
  const checkpoint = (part: Part): Origin => ({ from: 'checkpoint', part, source: '', options: {}, digest: 0 });
  const training = (part: Part, live: boolean): TrainingOrigin => {
    const trainer = live ? { replay: async () => {} } : undefined;
    return { from: 'training', part, step: 3, checkpoint: undefined, trainer };
  };
  const fresh: Origin = { from: 'initialisation', seed: 1 };
  const sequence = (...list: Origin[]) => list.reduce<Origin[]>((origins, origin) => withOrigin(origins, origin), []);

  it('a checkpoint replaces the earlier origin of its part', () => {
    expect(sequence(fresh, checkpoint('vqvae.'), checkpoint('vqvae.'))).toEqual([fresh, checkpoint('vqvae.')]);
    expect(sequence(checkpoint(''), checkpoint('vqvae.'))).toHaveLength(2);
    expect(sequence(checkpoint('vqvae.'), checkpoint('mamba.'), checkpoint(''))).toEqual([checkpoint('')]);
  });

  it('a checkpoint replaces finished training, but neither running training nor a widening', () => {
    const over = training('mamba.', false);
    const live = training('mamba.', true);
    const wide: Origin = { from: 'widening' };
    expect(sequence(fresh, wide, over, checkpoint('mamba.'))).toEqual([fresh, wide, checkpoint('mamba.')]);
    expect(sequence(fresh, wide, over, checkpoint('vqvae.'))).toEqual([fresh, wide, over, checkpoint('vqvae.')]);
    expect(sequence(fresh, wide, live, checkpoint('mamba.'))).toEqual([fresh, wide, live, checkpoint('mamba.')]);
  });
});

it('a model that is printed shows what it is, also when it is disposed of', async () => {
  const aim = await AiM.fromPretrained(SMALL, { device: 'wasm', threads: 1 });
  const text = inspect(aim);
  expect(text).toMatch(
    /^AiM \{\s+device: 'wasm \(SIMD, 1 thread\)',\s+parameters: \{ model: \d+, tokenizer: \d+ \},\s+image_size: \d+,/,
  );
  expect(text.length).toBeLessThan(200);
  await aim.dispose();
  expect(inspect(aim)).toMatch(/^AiM /);
});
