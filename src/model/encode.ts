/** Encodes any number of images with the tokenizer. A chunk of its own, because pages that draw do not encode. */
import type { AimConfig } from './config.js';
import { imagesAtOnce } from './images.js';
import type { Model } from './model.js';
import type { Placed } from './placed.js';
import { tokenizerOf } from './tokenizers.js';

/** See Model.encodePixels. */
export async function encodePixels(
  model: Model,
  pixels: Float32Array,
  [n, h, w, c]: readonly [number, number, number, number],
  signal?: AbortSignal,
): Promise<Uint32Array> {
  const chunk = imagesAtOnce(model.config, h, w);
  const chunks: Uint32Array[] = [];
  // A chunk is read back while the device computes the next one.
  let before: Promise<Uint32Array> | undefined;
  for (let at = 0; at < n; at += chunk) {
    signal?.throwIfAborted();
    const k = Math.min(chunk, n - at);
    const values = pixels.subarray(at * h * w * c, (at + k) * h * w * c);
    const codes = model.attempt((on) => encodeChunk(on, model.config, values, [k, h, w, c]), signal);
    // A failure is reported by the await below. If the previous chunk failed, that await never happens.
    codes.catch(() => {});
    if (before) chunks.push(await before);
    before = codes;
  }
  if (before) chunks.push(await before);
  const out = new Uint32Array(chunks.reduce((sum, codes) => sum + codes.length, 0));
  let filled = 0;
  for (const codes of chunks) {
    out.set(codes, filled);
    filled += codes.length;
  }
  return out;
}

/** Encodes pixels [n, h, w, 3] in [-1, 1] to codes [n·T'] in one pass. */
async function encodeChunk(
  { be, params }: Placed,
  { tokenizer: config }: AimConfig,
  pixels: Float32Array,
  shape: readonly [number, number, number, number],
): Promise<Uint32Array> {
  const x = be.from(pixels, shape);
  const tokenizer = tokenizerOf(config);
  const z = tokenizer.encode(be, params.vqvae, config, x);
  const codes = tokenizer.quantize(be, params.vqvae, config, z);
  const values = be.read(codes);
  // The read is in order with the commands, so that the next chunk may take this memory at once.
  be.free(x, z, codes);
  return (await values) as Uint32Array;
}
