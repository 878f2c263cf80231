/** A model that is saved is the same when it is loaded again. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { bytesSource } from '../../src/checkpoint/source.js';
import { CheckpointError, OptionError } from '../../src/core/errors.js';
import { parseHeader } from '../../src/io/safetensors.js';
import { CONFIG } from '../train/tiny_model.js';

let dir: string;
let aim: AiM;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'aim-save-'));
  aim = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 3 });
  aim.classes = ['a', 'b', 'c'];
});
afterAll(async () => {
  await aim.dispose();
  rmSync(dir, { recursive: true, force: true });
});

/** Every parameter by name, as bits. */
async function bits(model: AiM): Promise<Record<string, Uint32Array>> {
  const all: Record<string, Uint32Array> = {};
  for (const { name } of model.tensors) all[name] = new Uint32Array((await model.model.read(name)).buffer);
  return all;
}

it('a folder gives the same weights, classes and configuration, bit for bit', async () => {
  const folder = join(dir, 'new/model');
  await aim.save(folder);
  expect(readdirSync(folder).sort()).toEqual(['classes.json', 'config.json', 'model.safetensors']);
  const again = await AiM.fromPretrained(folder, { device: 'wasm' });
  expect(await bits(again)).toEqual(await bits(aim));
  expect([again.classes, again.config, again.ignored]).toEqual([aim.classes, aim.config, []]);
  // The authors' strict loading finds the head by this note.
  const { tensors, metadata } = await parseHeader(bytesSource(readFileSync(join(folder, 'model.safetensors'))));
  expect(metadata.get('mamba.lm_head.weight')).toBe('mamba.backbone.embeddings.word_embeddings.weight');
  expect(metadata.get('format')).toBe('pt');
  for (const { name, shape } of aim.tensors) expect(tensors.get(name)).toMatchObject({ dtype: 'F32', shape });
  await again.dispose();
});

it('files in memory are a checkpoint', async () => {
  const files = await aim.toFiles();
  expect(files.map((f) => f.name)).toEqual(['config.json', 'classes.json', 'model.safetensors']);
  const again = await AiM.fromPretrained(files, { device: 'wasm' });
  expect(await bits(again)).toEqual(await bits(aim));
  await again.dispose();
});

it.each(['f16', 'bf16'] as const)('%s is rounded once: saving what was loaded gives the same file', async (dtype) => {
  const folder = join(dir, dtype);
  await aim.save(folder, { dtype });
  const again = await AiM.fromPretrained(folder, { device: 'wasm' });
  const [before, after] = [await aim.model.read('mamba.backbone.norm_f.weight'), await bits(again)];
  expect(Object.keys(after)).toEqual(aim.tensors.map(({ name }) => name));
  expect(before.every(Number.isFinite)).toBe(true);
  expect(after).not.toEqual(await bits(aim));
  await again.save(`${folder}-2`, { dtype });
  expect(readFileSync(`${folder}-2/model.safetensors`).equals(readFileSync(`${folder}/model.safetensors`))).toBe(true);
  await again.dispose();
});

it('an existing folder keeps its other files and loses the class names of an earlier model', async () => {
  const folder = join(dir, 'old');
  mkdirSync(folder);
  writeFileSync(join(folder, 'classes.json'), '["x"]');
  writeFileSync(join(folder, 'notes.txt'), 'mine');
  const plain = await AiM.fromConfig(CONFIG, { device: 'wasm' });
  await plain.save(folder);
  expect(readdirSync(folder).sort()).toEqual(['config.json', 'model.safetensors', 'notes.txt']);
  const before = readFileSync(join(folder, 'model.safetensors'));
  const reason = new Error('enough');
  await expect(aim.save(folder, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const weight = plain.model.named().get('vqvae.quant_conv.weight')!.tensor;
  plain.model.be.write(weight, new Float32Array(weight.size).fill(1e6));
  await expect(plain.save(folder, { dtype: 'f16' })).rejects.toThrow(CheckpointError);
  expect(readFileSync(join(folder, 'model.safetensors')).equals(before)).toBe(true);
  expect(readdirSync(folder).sort()).toEqual(['config.json', 'model.safetensors', 'notes.txt']);
  await plain.dispose();
});

it('refuses options that do not exist', async () => {
  await expect(aim.save(join(dir, 'x'), { type: 'f16' } as never)).rejects.toThrow(OptionError);
  await expect(aim.toFiles({ dtype: 'f64' } as never)).rejects.toThrow(
    /dtype is "f64"; it must be 'auto', 'f32', 'f16' or 'bf16'/,
  );
});
