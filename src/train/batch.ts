/** The batches of training in memory: those that callers give to `Trainer.step`, checked, and those made from a data set. */
import { OptionError } from '../core/errors.js';
import { shown } from '../core/options.js';
import { codesOf, labelsOf } from '../model/likelihood.js';
import type { Model } from '../model/model.js';
import { type EncodeInput, isFloats, rgbaToFloats } from '../model/pixels.js';

/** A batch of the caller's own for stage 2. */
export interface CodesBatch {
  /** The codes [T] of each image in raster order, from 0 to V − 1, as `encode` of AiM returns them. */
  codes: readonly ArrayLike<number>[];
  /**
   * The class of each image, or one for all: the model's number or name of it; null is the unconditional class of guidance. The
   * trainer's `labelDropout` makes some of them unconditional, as it does in `run`.
   */
  classes: readonly (number | string | null)[] | number | string | null;
}

/** A batch of the caller's own for the tokenizer. */
export interface ImagesBatch {
  /**
   * Square images with sides of `config.image_size` pixels: [size, size, 3] with values from -1 to 1, AimImages, or
   * `{ width, height, data }` with RGBA bytes (alpha is ignored). They are used as they are, without random crops.
   */
  images: readonly (Float32Array | EncodeInput)[];
}

/** What `Trainer.step` takes: codes where stage 2 is trained, images where the tokenizer is. */
export type TrainBatch = CodesBatch | ImagesBatch;

/** Images in memory, as a task loads them: their values one after the other, and for stage 2 the class number of each. */
export interface Values {
  /** n, the number of images. */
  readonly count: number;
  /** Codes [n, T] or pixels [n, size, size, 3]. */
  readonly data: Uint32Array | Float32Array;
  readonly labels?: Uint32Array;
}

/** Images `from` to `to` − 1. */
export function sliced({ count, data, labels }: Values, from: number, to: number): Values {
  const one = data.length / count;
  return { count: to - from, data: data.subarray(from * one, to * one), ...(labels && { labels: labels.subarray(from, to) }) };
}

/** Checks a batch for stage 2 and copies it. Throws OptionError. */
export async function codesValues(model: Model, call: string, batch: TrainBatch): Promise<Values> {
  const { codes, classes } = fields<CodesBatch>(call, batch, ['codes', 'classes'], 'stage 2 is trained');
  const data = codesOf(call, codes, model.config);
  return { count: codes.length, data, labels: Uint32Array.from(await labelsOf(model, call, codes.length, classes)) };
}

/** Checks a batch for the tokenizer and copies it. Throws OptionError. */
export async function imagesValues({ config }: Model, call: string, batch: TrainBatch): Promise<Values> {
  const { images } = fields<ImagesBatch>(call, batch, ['images'], 'the tokenizer is trained');
  const size = config.image_size;
  if (!Array.isArray(images)) throw new OptionError(`${call}: the images are ${shown(images)}; pass a list of them.`);
  const one = size * size * 3;
  const data = new Float32Array(images.length * one);
  (images as ImagesBatch['images']).forEach((image, i) => {
    data.set(pixels(call, image, i, size), i * one);
  });
  const bad = data.findIndex((v) => !(v >= -1 && v <= 1));
  if (bad >= 0)
    throw new OptionError(
      `${call}: value ${bad % one} of image ${Math.floor(bad / one)} is ${data[bad]}; pixels go from -1 to 1 (RGBA bytes are converted).`,
    );
  return { count: images.length, data };
}

function pixels(call: string, image: Float32Array | EncodeInput, i: number, size: number): Float32Array {
  const wanted = `this tokenizer takes ${size}×${size}: pass a Float32Array [${size}, ${size}, 3], or { width, height, data }`;
  if (isFloats(image)) {
    if (image.length === size * size * 3) return image;
    throw new OptionError(`${call}: image ${i} has ${image.length} values; ${wanted}.`);
  }
  const { width, height, data } = (image ?? {}) as Partial<EncodeInput>;
  if (!ArrayBuffer.isView(data)) throw new OptionError(`${call}: image ${i} is ${shown(image)}; ${wanted}.`);
  if (width !== size || height !== size) throw new OptionError(`${call}: image ${i} is ${width}×${height}; ${wanted}.`);
  const channels = isFloats(data) ? 3 : 4;
  if (data.length !== size * size * channels)
    throw new OptionError(`${call}: image ${i} has ${data.length} values, ${size}×${size}×${channels} are expected; ${wanted}.`);
  return isFloats(data) ? data : rgbaToFloats(data);
}

/** The batch, which has these fields and no others. */
function fields<B extends TrainBatch>(call: string, batch: TrainBatch, names: readonly string[], why: string): B {
  const list = names.join(' and ');
  if (typeof batch !== 'object' || batch === null || Array.isArray(batch))
    throw new OptionError(`${call}: the batch is ${shown(batch)}; pass an object with ${list}, because ${why}.`);
  for (const name of names)
    if (!(name in batch)) throw new OptionError(`${call}: the batch has no ${name}; pass ${list}, because ${why}.`);
  for (const name of Object.keys(batch))
    if (!names.includes(name))
      throw new OptionError(`${call}: the batch has ${name}, which is not used where ${why}; pass ${list}.`);
  return batch as B;
}
