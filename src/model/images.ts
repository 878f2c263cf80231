/** Decodes any number of images with the tokenizer, in chunks that bound the memory of activations. */
import type { Backend } from '../backend/backend.js';
import { CheckpointError } from '../core/errors.js';
import type { NumArray, Tensor } from '../core/tensor.js';
import { AimImage } from '../io/image.js';
import type { AimConfig } from './config.js';
import type { Placed } from './placed.js';
import { tokenizerOf } from './tokenizers.js';

/** Maximum bytes of a single activation of the tokenizer for a chunk of images: WebGPU's default limit of a binding. */
const ACTIVATION_BYTES = 128 * 2 ** 20;

/** The number of images of this size that the tokenizer processes at once. */
export function imagesAtOnce({ tokenizer }: AimConfig, height: number, width: number): number {
  const perImage = height * width * tokenizerOf(tokenizer).largestBytesPerPixel(tokenizer);
  return Math.max(1, Math.floor(ACTIVATION_BYTES / perImage));
}

/** Side in pixels of the images that square grids of `length` codes decode to. */
const sideOf = (config: AimConfig, length: number) => (Math.sqrt(length) * config.image_size) / Math.sqrt(config.num_tokens);

/**
 * Decodes codes [n, T] on the device to images. Throws CheckpointError if a pixel is not finite; rejects with `signal.reason`.
 */
export async function decodeTensor(
  { be, params }: Placed,
  config: AimConfig,
  tokens: Tensor,
  signal?: AbortSignal,
): Promise<AimImage[]> {
  const [n, length] = tokens.shape as [number, number];
  const side = Math.sqrt(length);
  const size = sideOf(config, length);
  const chunk = imagesAtOnce(config, size, size);
  const images: AimImage[] = [];
  const codes = n > chunk ? ((await be.read(tokens)) as Uint32Array) : undefined;
  const take = async (first: number, count: number, pixels: Promise<NumArray>) => {
    const values = await pixels;
    const data = values instanceof Float32Array ? values : Float32Array.from(values);
    assertFinite('the decoded pixels', data);
    const one = size * size * 3;
    for (let i = 0; i < count; i++)
      images[first + i] = new AimImage({ width: size, height: size, data: data.slice(i * one, (i + 1) * one) });
  };
  // A chunk is read back while the device computes the next one.
  let before: Promise<void> | undefined;
  for (let at = 0; at < n; at += chunk) {
    signal?.throwIfAborted();
    const k = Math.min(chunk, n - at);
    const chunkCodes = codes
      ? codesOnDevice(be, codes.subarray(at * length, (at + k) * length))
      : be.reshape(tokens, [n * length]);
    const pixels = tokenizerOf(config.tokenizer).decode(be, params.vqvae, config.tokenizer, chunkCodes, [k, side, side]);
    const taken = take(at, k, be.read(pixels));
    be.free(pixels, codes && chunkCodes);
    // A failure is reported by the await below. If the previous chunk failed, that await never happens.
    taken.catch(() => {});
    await before;
    before = taken;
  }
  await before;
  return images;
}

const codesOnDevice = (be: Backend, codes: Uint32Array) => be.from(codes, [codes.length], 'u32');

/**
 * Makes the patches of the tokens from `step` on grey, because they are not drawn yet, but for the first `kept[i]` of image i. Changes
 * the images.
 */
export function greyFrom(images: readonly AimImage[], step: number, tokens: number, kept: readonly number[]): void {
  const side = Math.sqrt(tokens);
  for (const [i, { width, data }] of images.entries()) {
    const patch = width / side;
    for (let t = Math.max(step, kept[i]!); t < tokens; t++) {
      const [y0, x0] = [Math.floor(t / side) * patch, (t % side) * patch];
      for (let y = y0; y < y0 + patch; y++) data.fill(0, (y * width + x0) * 3, (y * width + x0 + patch) * 3);
    }
  }
}

/**
 * Throws CheckpointError if a value is not finite. Finite weights can still overflow, and the tokens would then be meaningless.
 */
export function assertFinite(what: string, values: ArrayLike<number>): void {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i]))
      throw new CheckpointError(
        `${what} are not finite: the weights are damaged or too large for float32; load another checkpoint.`,
      );
  }
}
