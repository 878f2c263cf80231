/**
 * What one backend computes, in the form of golden values, so that `verify` compares another backend with it where a checkpoint has
 * none of its own.
 */
import { uniform } from '../core/random.js';
import type { NumArray } from '../core/tensor.js';
import { encodeSafetensors } from '../io/safetensors.js';
import { generate } from '../model/generate.js';
import { type ModelHandle, modelOf } from '../model/handle.js';
import { logits } from '../model/likelihood.js';
import { toNhwc } from './compare.js';
import { encodeImages } from './context.js';

/** Guidance with which images are drawn. */
const CFG_SCALE = 1.5;

/**
 * The bytes of a goldens file for `count` images, with the names that `verify` knows: codes drawn at random with a fixed seed and the
 * logits of them, images drawn greedily with guidance, decoded images of the codes, and what the encoder makes of these images.
 *
 * @param handle The model on the backend that computes them, an AiM of `aim-js`.
 */
export async function goldensOf(
  handle: ModelHandle,
  { count, signal }: { count: number; signal?: AbortSignal | undefined },
): Promise<Uint8Array<ArrayBuffer>> {
  const model = modelOf(handle);
  const { num_tokens: T, vocab_size: V, num_classes, image_size: side } = model.config;
  const labels = Int32Array.from({ length: count }, (_, i) => Math.floor((i * num_classes) / count));
  const codes = Uint32Array.from({ length: count * T }, (_, i) => Math.floor(uniform(1, 'codes', Math.floor(i / T), i % T) * V));
  const rows = Array.from({ length: count }, (_, i) => codes.subarray(i * T, (i + 1) * T));
  const ofCodes = await logits(model, rows, [...labels], { signal });
  const sampling = { temperature: 0, cfgScale: CFG_SCALE, positions: 'trained' } as const;
  const drawn = await generate(model, { classes: [...labels], count, signal, ...sampling });
  const decode = async (of: NumArray) => joined((await model.decode(of, [count, T], signal)).map(({ data }) => data));
  const pixels = (await decode(codes)).map((v) => Math.min(1, Math.max(-1, v)));
  const encoded = await model.attempt((on) => encodeImages(on, model.config, pixels, [count, side, side, 3], signal), signal);
  const again = await decode(encoded.codes);
  const grid = Math.sqrt(T);
  const d = encoded.features.length / (count * T);
  const integers = (name: string, data: ArrayLike<number>, shape = [count, T]) => ({
    name,
    dtype: 'I32' as const,
    shape,
    data: Int32Array.from(data),
  });
  const floats = (name: string, data: Float32Array, shape: number[]) => ({ name, dtype: 'F32' as const, shape, data });
  // Goldens have channels first.
  const image = (name: string, data: Float32Array) => floats(name, toNhwc(data, count, side * side, 3), [count, 3, side, side]);
  return encodeSafetensors([
    integers('input.tokens', codes),
    integers('input.labels', labels, [count]),
    floats('forward.logits', joined(ofCodes), [count, T, V]),
    integers(`decode.greedy-tokens.positions-trained.cfg${CFG_SCALE}`, joined(drawn.tokens)),
    image('vq.image', pixels),
    floats('vq.pre-quant', toNhwc(encoded.features, count, T, d), [count, d, grid, grid]),
    integers('vq.codes', encoded.codes),
    image('vq.decoded-from-codes', again),
  ]);
}

/** Codes fit exactly: there are fewer than 2^24 of them. */
function joined(lists: readonly ArrayLike<number>[]): Float32Array {
  const all = new Float32Array(lists.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const list of lists) {
    all.set(list, at);
    at += list.length;
  }
  return all;
}
