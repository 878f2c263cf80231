/** The seam between images and what trains on them. */
import { IoError, OptionError } from '../core/errors.js';

/** How an image is cut: at random from numbers in [0, 1), or the same each time. */
export type ImageMode = { kind: 'train'; random: () => number } | { kind: 'eval' };

export interface ImageDataset {
  /** Class names; a label is an index in them. */
  readonly classes: readonly string[];
  readonly length: number;
  /** Side of the images in pixels. */
  readonly size: number;
  /** True where 'train' differs from 'eval'. */
  readonly augments: boolean;
  /** Files that could not be used so far. It grows, as images are read only when they are asked for. */
  readonly skipped: readonly { name: string; reason: string }[];
  label(i: number): number;
  /** Text that differs for other images, by which a run of training recognises its data. Without it only classes and counts are compared. */
  fingerprint?(): string | Promise<string>;
  /** Image i as [size, size, 3] in [-1, 1]; undefined if it is unreadable, and then `skipped` has its name. */
  tryImage(i: number, mode: ImageMode): Promise<Float32Array | undefined>;
  /**
   * Image i, or in place of an unreadable one the next readable image of its class, else of the data set: the same each
   * time, so a damaged file never ends a training. Throws IoError when none is readable.
   */
  image(i: number, mode: ImageMode): Promise<Float32Array>;
}

/** Images for training and, unless there are none, for evaluation. */
export interface ImageSplits {
  train: ImageDataset;
  eval: ImageDataset | undefined;
}

/** `image` for a data set that has `tryImage`. */
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

/** Files read and decoded at the same time, where the runtime can. */
const PARALLEL = 16;

/** fn(0) … fn(count − 1), some at a time. Rejects with `signal.reason` when aborted. */
export async function inParallel(
  count: number,
  fn: (i: number) => Promise<void>,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  for (let at = 0; at < count; at += PARALLEL) {
    signal?.throwIfAborted();
    await Promise.all(Array.from({ length: Math.min(PARALLEL, count - at) }, (_, k) => fn(at + k)));
  }
}

/** Images `index` as one batch [n, size, size, 3]; `mode(k)` is that of the k-th. Rejects with `signal.reason` when aborted. */
export async function imageBatch(
  data: ImageDataset,
  index: ArrayLike<number>,
  mode: (k: number) => ImageMode,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Float32Array> {
  const per = data.size * data.size * 3;
  const out = new Float32Array(index.length * per);
  await inParallel(index.length, async (k) => out.set(await data.image(index[k]!, mode(k)), k * per), options);
  return out;
}

/**
 * Which of the items are held out for evaluation: of each class the round(share·n) with the smallest `key`, at least one
 * where there are two, and never all. Stable: a new image moves at most one other.
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

/** `120 images of 3 classes (cat, dog, owl)`; for a single class it adds that every image has the same label. */
export function describeImages({ classes, length }: ImageDataset): string {
  const images = `${length} ${length === 1 ? 'image' : 'images'}`;
  if (classes.length === 1) return `${images} of 1 class (${classes[0]}), so every image has the same label`;
  const shown = classes.slice(0, 10).join(', ') + (classes.length > 10 ? ', …' : '');
  return `${images} of ${classes.length} classes (${shown})`;
}

export function checkSize(size: number): void {
  if (!Number.isInteger(size) || size < 1 || size > 4096)
    throw new OptionError(`size is ${size}; it must be a whole number of pixels from 1 to 4096.`);
}
