/** Which items a step takes and which labels it drops, as functions of (seed, step), so that resuming needs no replay. */
import { OptionError } from '../core/errors.js';
import { checkSeed, randomWords, uniform } from '../core/random.js';

export interface OrderOptions {
  /** Items in the data set. */
  length: number;
  batchSize: number;
  seed: number;
}

/**
 * Every epoch is a shuffle of its own, cut into batches. The items left over at its end, fewer than a batch, are not used in that
 * epoch; the next shuffle leaves out others.
 */
export class Order {
  readonly length: number;
  readonly batchSize: number;
  readonly seed: number;
  /** ⌊length / batchSize⌋ */
  readonly stepsPerEpoch: number;
  private shuffled: { epoch: number; items: Uint32Array } | undefined;

  /** Throws OptionError when a batch is larger than the data. */
  constructor({ length, batchSize, seed }: OrderOptions) {
    checkSeed(seed);
    if (!Number.isInteger(batchSize) || batchSize < 1)
      throw new OptionError(`batchSize is ${batchSize}; it must be a whole number from 1.`);
    if (batchSize > length)
      throw new OptionError(
        `batchSize is ${batchSize}, but there are only ${length} training images; make it at most ${length}.`,
      );
    this.length = length;
    this.batchSize = batchSize;
    this.seed = seed;
    this.stepsPerEpoch = Math.floor(length / batchSize);
  }

  epoch(step: number): number {
    return Math.floor(step / this.stepsPerEpoch);
  }

  /** The items of step `step`, counted from 0 over the whole run: [batchSize]. */
  batch(step: number): Uint32Array {
    const epoch = this.epoch(step);
    if (this.shuffled?.epoch !== epoch) this.shuffled = { epoch, items: shuffle(this.length, this.seed, epoch) };
    const at = (step % this.stepsPerEpoch) * this.batchSize;
    return this.shuffled.items.slice(at, at + this.batchSize);
  }
}

/** 0 … n−1 in an order that depends only on (seed, epoch): Fisher–Yates, where item i changes places with one of 0 … i. */
export function shuffle(n: number, seed: number, epoch: number): Uint32Array {
  const items = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(uniform(seed, 'order', epoch, i) * (i + 1));
    const other = items[j]!;
    items[j] = items[i]!;
    items[i] = other;
  }
  return items;
}

/**
 * `count` items in ascending order, as evenly distributed over the classes as their sizes allow, and evenly over the items of each
 * class. The same for the same labels.
 *
 * @param labels class of each item.
 */
export function spread(labels: ArrayLike<number>, count: number): Uint32Array {
  const total = labels.length;
  if (count >= total) return Uint32Array.from({ length: total }, (_, i) => i);
  const members = new Map<number, number[]>();
  for (let i = 0; i < total; i++) {
    const list = members.get(labels[i]!);
    if (list) list.push(i);
    else members.set(labels[i]!, [i]);
  }
  const classes = [...members].sort(([a], [b]) => a - b).map(([, items]) => ({ items, take: 0 }));
  for (let left = count; left > 0; ) {
    const open = classes.filter(({ items, take }) => take < items.length);
    const n = Math.min(left, open.length);
    for (let j = 0; j < n; j++) open[Math.floor((j * open.length) / n)]!.take++;
    left -= n;
  }
  const chosen = classes.flatMap(({ items, take }) =>
    Array.from({ length: take }, (_, j) => items[Math.floor((j * items.length) / take)]!),
  );
  return Uint32Array.from(chosen).sort();
}

/**
 * The labels of a step, each made `unconditional` with probability `rate`: for classifier-free guidance. The k-th depends on
 * (seed, step, k), k counted over all parts of an accumulated batch: `first` is that of labels[0].
 */
export function dropLabels(
  labels: ArrayLike<number>,
  o: { seed: number; step: number; rate: number; unconditional: number; first?: number },
): Uint32Array {
  const limit = Math.round(o.rate * 2 ** 32);
  return Uint32Array.from(labels, (label, k) =>
    randomWords(o.seed, 'dropout', o.step, (o.first ?? 0) + k)[0] < limit ? o.unconditional : label,
  );
}
