/** Models on several WASM threads: drawing, the tokenizer and training steps give the bits that one thread gives. */
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it, vi } from 'vitest';
import { AiM } from '../../src/aim.js';
import * as board from '../../src/backend/board.js';
import { DeviceError, OptionError } from '../../src/core/errors.js';
import { uniform } from '../../src/core/random.js';
import { tokenizerFingerprint } from '../../src/data/codes.js';
import type { ImageDataset } from '../../src/data/dataset.js';
import type { AimConfigJson } from '../../src/model/config.js';
import { linear } from '../../src/ops/linear.js';
import { Trainer } from '../../src/train/trainer.js';
import { wasmBackend } from '../backends.js';

const FASHION = fileURLToPath(new URL('../../models/fashion-mnist', import.meta.url));
const THREADS = [1, 2, 3];
// Counted only: the calls go through.
vi.mock('../../src/backend/board.js', { spy: true });
const shared = vi.mocked(board.share);
afterEach(() => shared.mockClear());

/** A hash of all bits: an assertion on the values takes longer than computing them. */
const bits = (values: ArrayLike<number>) => {
  const { buffer, byteOffset, byteLength } = values as Float32Array;
  return createHash('sha256')
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest('hex');
};

/** Runs `work` on each number of threads; expects equal results, and calls shared between threads if there are several. */
async function sameOnAll<T>(work: (threads: number) => Promise<T>): Promise<T> {
  const results: T[] = [];
  for (const threads of THREADS) {
    shared.mockClear();
    results.push(await work(threads));
    expect(shared.mock.calls.length > 0, `${threads} threads shared ${shared.mock.calls.length} calls`).toBe(threads > 1);
  }
  for (const result of results.slice(1)) expect(result).toEqual(results[0]);
  return results[0]!;
}

it('drawing, encoding and decoding give the same bits on any number of threads', async () => {
  await sameOnAll(async (threads) => {
    const aim = await AiM.fromPretrained(FASHION, { device: 'wasm', threads });
    expect(aim.device).toBe(threads === 1 ? 'wasm (SIMD, 1 thread)' : `wasm (SIMD, ${threads} threads)`);
    const { images, tokens } = await aim.generate({ classes: ['Bag', 'Shirt'], seed: 3, cfgScale: 1.5, topK: 100 });
    const codes = await aim.encode(images);
    const decoded = await aim.decode(codes);
    await aim.dispose();
    return { tokens, codes, pixels: [...images, ...decoded].map((image) => bits(image.data)) };
  });
});

const config = (layer: 'Mamba1' | 'Mamba2'): AimConfigJson => ({
  d_model: 96,
  n_layer: 2,
  vocab_size: 512,
  num_classes: 3,
  num_tokens: 16,
  ssm_cfg: layer === 'Mamba1' ? { layer } : { layer, d_state: 32, headdim: 32 },
  adaln_group: true,
  num_groups: 2,
  vq_config: { ch: 32, ch_mult: [1, 2], num_res_blocks: 1, z_channels: 32, n_embed: 512, embed_dim: 8 },
});

/** Every parameter after two steps. */
async function trained(trainer: Trainer, aim: AiM) {
  const losses: number[] = [];
  for await (const { loss } of trainer.run()) losses.push(loss);
  trainer.dispose();
  const parameters: Record<string, string> = {};
  for (const [name, { tensor }] of aim.model.named()) parameters[name] = bits(await aim.model.be.read(tensor));
  await aim.dispose();
  return { losses, parameters };
}

it.each(['Mamba1', 'Mamba2'] as const)('training steps of %s give the same bits on any number of threads', async (layer) => {
  const { losses } = await sameOnAll(async (threads) => {
    const aim = await AiM.fromConfig(config(layer), { device: 'wasm', threads, seed: 1 });
    const codes = Uint32Array.from({ length: 24 * 16 }, (_, i) => Math.floor(uniform(9, 'order', i, 0) * 512));
    const labels = Uint32Array.from({ length: 24 }, (_, i) => i % 3);
    const fingerprint = await tokenizerFingerprint(aim);
    const data = { codes, labels, eval: undefined, classes: ['a', 'b', 'c'], tokens: 16, vocabulary: 512, fingerprint };
    return trained(new Trainer({ model: aim, data, steps: 2, batchSize: 24, lr: 1e-3, evalEvery: 0 }), aim);
  });
  expect(losses).toHaveLength(2);
});

it('training steps of the tokenizer give the same bits on any number of threads', async () => {
  const { losses } = await sameOnAll(async (threads) => {
    const aim = await AiM.fromConfig(config('Mamba2'), { device: 'wasm', threads, seed: 1 });
    const pixels = (i: number) => Float32Array.from({ length: 8 * 8 * 3 }, (_, j) => uniform(4, 'order', i, j) * 2 - 1);
    const train: ImageDataset = {
      classes: ['a'],
      length: 12,
      size: 8,
      augments: false,
      skipped: [],
      label: () => 0,
      tryImage: async (i) => pixels(i),
      image: async (i) => pixels(i),
    };
    return trained(new Trainer({ model: aim, data: { train, eval: undefined }, steps: 2, batchSize: 12, evalEvery: 0 }), aim);
  });
  expect(losses).toHaveLength(2);
});

it('threads see memory that has grown after they started', async () => {
  await sameOnAll(async (threads) => {
    const be = await wasmBackend({ threads });
    const [m, k, n] = [64, 256, 512];
    const product = async (seed: number) => {
      const x = be.from(
        Float32Array.from({ length: m * k }, (_, i) => uniform(seed, 'order', i, 0)),
        [m, k],
      );
      const w = be.from(
        Float32Array.from({ length: n * k }, (_, i) => uniform(seed, 'order', i, 1)),
        [n, k],
      );
      const y = be.tensor([m, n]);
      be.run(linear.forward, { x, w, y });
      return bits(await be.read(y));
    };
    const results = [await product(1)];
    for (let i = 2; i < 8; i++) {
      be.tensor([2 ** i * 2 ** 20]);
      results.push(await product(i));
    }
    be.dispose();
    return results;
  });
});

it('a kernel that fails in a thread rejects, and the next kernel runs', async () => {
  const be = await wasmBackend({ threads: 3, partFlops: 1 });
  const x = be.from(new Float32Array(64).fill(2), [8, 8]);
  const y = be.tensor([8, 8]);
  const beyond = { ...x, storage: { bytes: 256, released: false, at: 2 ** 32 - 256 } };
  expect(() => be.run(linear.forward, { x, w: beyond, y })).toThrow(DeviceError);
  be.run(linear.forward, { x, w: x, y });
  expect([...(await be.read(y))]).toEqual(Array(64).fill(32));
  be.dispose();
});

it('a number of threads out of range is refused with the name of the option', async () => {
  for (const threads of [0, 1.5, -1, 65, Number.NaN]) {
    const error = await AiM.fromPretrained(FASHION, { device: 'wasm', threads }).catch((e) => e);
    expect(error).toBeInstanceOf(OptionError);
    expect(error.message).toContain(`threads is ${threads}`);
  }
});
