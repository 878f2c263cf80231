/** The interface between image data and its users: training, tokenizing and evaluation. */
import { IoError, OptionError } from '../core/errors.js';

/** How an image is cropped: 'train' at random, using numbers in [0, 1) from `random`; 'eval' always the same. */
export type ImageMode = { kind: 'train'; random: () => number } | { kind: 'eval' };

/** A list of labelled images of one size, which are read when they are needed. */
export interface ImageDataset {
  /** Class names. A label is an index into this list. */
  readonly classes: readonly string[];
  /** Number of images. */
  readonly length: number;
  /** Side of an image in pixels. */
  readonly size: number;
  /** True if the mode 'train' differs from 'eval'. */
  readonly augments: boolean;
  /** Files found unusable so far. The list grows while images are read. */
  readonly skipped: readonly { name: string; reason: string }[];
  /** The class number of image i. */
  label(i: number): number;
  /** Text that differs for other images, by which a run of training recognises its data. Without it only classes and counts are compared. */
  fingerprint?(): string | Promise<string>;
  /** Image i as [size, size, 3] in [-1, 1]. Returns undefined if it is unreadable, and adds the reason to `skipped`. */
  tryImage(i: number, mode: ImageMode): Promise<Float32Array | undefined>;
  /**
   * Image i as [size, size, 3] in [-1, 1]. An unreadable image is replaced by the next readable one of its class or, if there is
   * none, of the data set. The replacement is always the same, so a damaged file does not end a training run. Throws IoError if
   * no image is readable.
   */
  image(i: number, mode: ImageMode): Promise<Float32Array>;
}

/** Images for training and images for evaluation, if there are any. */
export interface ImageSplits {
  train: ImageDataset;
  eval: ImageDataset | undefined;
}

/** Implements `image` for a data set that has `tryImage`. */
export async function imageOrNext(data: Omit<ImageDataset, 'image'>, i: number, mode: ImageMode): Promise<Float32Array> {
  const { length } = data;
  const first = await data.tryImage(i, mode);
  if (first) return first;
  for (const sameClass of [true, false]) {
    for (let step = 1; step < length; step++) {
      const j = (i + step) % length;
      if ((data.label(j) === data.label(i)) !== sameClass) continue;
      const image = await data.tryImage(j, mode);
      if (image) return image;
    }
  }
  const { name, reason } = data.skipped.at(-1) ?? { name: 'the last', reason: 'unreadable' };
  throw new IoError(`none of the ${length} images can be read (${name}: ${reason}); pass other images.`);
}

/** Number of files that are read and decoded at the same time. */
const PARALLEL = 16;

/**
 * Calls fn(0), …, fn(count − 1), in this order and up to 16 at a time. After a failure, with which it rejects, or an abort, where it
 * rejects with `signal.reason`, it begins no other call.
 */
export async function inParallel(
  count: number,
  fn: (i: number) => Promise<void>,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  let next = 0;
  const work = async () => {
    try {
      while (next < count) {
        signal?.throwIfAborted();
        await fn(next++);
      }
    } catch (error) {
      next = count;
      throw error;
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, count) }, work));
}

/**
 * The images with these indices as one batch [n, size, size, 3]. `mode(k)` applies to the k-th. Rejects with `signal.reason`; throws
 * OptionError for an image of another size, which a caller's own data set may give.
 */
export async function imageBatch(
  data: ImageDataset,
  index: ArrayLike<number>,
  mode: (k: number) => ImageMode,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Float32Array> {
  const per = data.size * data.size * 3;
  const out = new Float32Array(index.length * per);
  const read = async (k: number) => {
    const image = await data.image(index[k]!, mode(k));
    if (image?.length !== per)
      throw new OptionError(
        `the data set gives ${image?.length ?? 'no'} values for image ${index[k]}; an image is [${data.size}, ${data.size}, 3], which are ${per}.`,
      );
    out.set(image, k * per);
  };
  await inParallel(index.length, read, options);
  return out;
}

/**
 * Selects the items to hold out for evaluation (1 in the result): of n items of a class, those round(share·n) with the smallest
 * `key`, but at least one if there are two, and never all. A new image changes the selection of at most one other image.
 */
export function heldOut(labels: ArrayLike<number>, share: number, key: (i: number) => number): Uint8Array {
  if (!(share >= 0 && share < 1))
    throw new OptionError(`holdout is ${share}; it must be a share of the images from 0 (none) to below 1.`);
  const out = new Uint8Array(labels.length);
  if (share === 0) return out;
  const classes = new Map<number, number[]>();
  for (let i = 0; i < labels.length; i++) {
    const members = classes.get(labels[i]!);
    if (members) members.push(i);
    else classes.set(labels[i]!, [i]);
  }
  for (const members of classes.values()) {
    const count = Math.min(members.length - 1, Math.max(1, Math.round(share * members.length)));
    const keyed = members.map((i) => [key(i), i] as const).sort(([a, i], [b, j]) => a - b || i - j);
    for (const [, i] of keyed.slice(0, count)) out[i] = 1;
  }
  return out;
}

/** For example `120 images of 3 classes (cat, dog, owl)`. For a single class it adds what that means. */
export function describeImages({ classes, length }: ImageDataset): string {
  const images = `${length} ${length === 1 ? 'image' : 'images'}`;
  if (classes.length === 1) return `${images} of 1 class (${classes[0]}), so every image has the same label`;
  const shown = classes.slice(0, 10).join(', ') + (classes.length > 10 ? ', …' : '');
  return `${images} of ${classes.length} classes (${shown})`;
}

/** Throws OptionError unless `size` is a whole number from 1 to 4096. */
export function checkSize(size: number): void {
  if (!Number.isInteger(size) || size < 1 || size > 4096)
    throw new OptionError(`size is ${size}; it must be a whole number of pixels from 1 to 4096.`);
}
