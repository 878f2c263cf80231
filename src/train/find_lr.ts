/**
 * Finds a learning rate by the range test (Smith, arXiv 1506.01186; with an exponential rise as in fastai): some steps of the real
 * training, each with a higher rate than the one before, until the loss diverges.
 */
import { TrainingError } from '../core/errors.js';
import { checkCodes } from '../data/codes.js';
import type { TrainBatch, Values } from './batch.js';
import type { TrainerOptions } from './options.js';
import { planOf } from './plan.js';
import { STAGE1 } from './stage1.js';
import { Trainer } from './trainer.js';

/** A step of the test. */
export interface RatePoint {
  lr: number;
  /** Loss of the step's batch, before the step. */
  loss: number;
}

export interface RateTest {
  /** Every step whose loss was finite. */
  points: RatePoint[];
  /** The rate at which the loss diverged; undefined if it never did. */
  diverged: number | undefined;
}

export interface RateSuggestion {
  lr: number;
  by: 'steepest descent' | 'a tenth of the rate at which the loss diverged';
}

/** Rates of the first and last step, and their number: 17 steps for each power of ten. */
export const RANGE = { from: 1e-6, to: 1, steps: 103 } as const;

/** The loss has diverged when the mean of three steps is so many times that of the first three, or the lowest such mean. */
const DIVERGED = { first: 2, lowest: 4 } as const;

/** Options that the test replaces, or has no use for. */
const REPLACED = ['lr', 'schedule', 'warmup', 'steps', 'epochs', 'emaDecay', 'evalEvery', 'evalItems'] as const;
const ADVERSARIAL = ['discriminator', 'discStart', 'discWeight', 'discChannels', 'adaptive'] as const;

interface TestOptions {
  signal?: AbortSignal | undefined;
  onStep?: ((step: number, point: RatePoint) => void) | undefined;
}

/**
 * Takes the steps, on the data and by the options of the training, whose `lr`, `schedule`, `warmup`, `steps` and `epochs` are not used.
 * The model is of no use afterwards: dispose of it. Throws like Trainer. Rejects with `signal.reason` when aborted.
 */
export async function testRates(
  given: TrainerOptions & { data: NonNullable<TrainerOptions['data']> },
  { signal, onStep }: TestOptions = {},
): Promise<RateTest> {
  const { data, ...rest } = given;
  if ('codes' in data) await checkCodes(given.model, data);
  // A discriminator that joins later has no part in the test.
  const late = (given.discStart ?? STAGE1.discStart.default) >= RANGE.steps;
  const unused: readonly string[] = [...REPLACED, ...(late ? ADVERSARIAL : [])];
  const options = Object.fromEntries(Object.entries(rest).filter(([key]) => !unused.includes(key))) as typeof rest;
  const { task, order, options: run } = planOf({ ...options, data });
  const trainer = new Trainer({ ...options, stage: run.stage });
  const points: RatePoint[] = [];
  const recent = (at: number) => points.slice(Math.max(0, at - 3), at).reduce((sum, { loss }) => sum + loss, 0) / Math.min(3, at);
  let lowest = Number.POSITIVE_INFINITY;
  try {
    for (let step = 0; step < RANGE.steps; step++) {
      signal?.throwIfAborted();
      const lr = RANGE.from * (RANGE.to / RANGE.from) ** (step / (RANGE.steps - 1));
      const values = await task.items(order!.batch(step), { seed: run.seed, step, first: 0 });
      let loss: number;
      try {
        ({ loss } = await trainer.step(batchOf(values), { lr }));
      } catch (error) {
        if (error instanceof TrainingError) return { points, diverged: lr };
        throw error;
      }
      points.push({ lr, loss });
      onStep?.(step + 1, { lr, loss });
      const mean = recent(points.length);
      lowest = Math.min(lowest, mean);
      // A loss with that of a discriminator may be negative.
      if (points.length > 3 && lowest > 0 && mean > Math.min(DIVERGED.first * recent(3), DIVERGED.lowest * lowest))
        return { points, diverged: lr };
    }
  } finally {
    trainer.dispose();
  }
  return { points, diverged: undefined };
}

/** Values of a task as a batch of the caller's own. */
function batchOf({ count, data, labels }: Values): TrainBatch {
  const one = data.length / count;
  const items = Array.from({ length: count }, (_, i) => data.subarray(i * one, (i + 1) * one));
  return labels ? { codes: items, classes: [...labels] } : { images: items as Float32Array[] };
}

/** Losses on either side over which a loss is averaged. */
const REACH = 4;

/** The losses without their noise: means over up to nine neighbours, with weights that fall to the sides. */
export function smoothed(points: readonly RatePoint[]): number[] {
  return points.map((_, i) => {
    // As far on both sides, so that the means are not late.
    const reach = Math.min(REACH, i, points.length - 1 - i);
    let [sum, weights] = [0, 0];
    for (let k = -reach; k <= reach; k++) {
      const weight = reach + 1 - Math.abs(k);
      sum += weight * points[i + k]!.loss;
      weights += weight;
    }
    return sum / weights;
  });
}

/**
 * The rate at which the smoothed loss falls fastest by the logarithm of the rate, before its lowest value, if it falls by more than its
 * noise; else a tenth of the rate at which it diverged. Undefined where it does neither.
 */
export function suggestRate({ points, diverged }: RateTest): RateSuggestion | undefined {
  const losses = smoothed(points);
  const least = losses.indexOf(Math.min(...losses));
  const noise = Math.sqrt(
    points.reduce((sum, { loss }, i) => sum + (i <= least ? (loss - losses[i]!) ** 2 : 0), 0) / (least + 1),
  );
  if (least > 0 && Math.max(...losses.slice(0, least)) - losses[least]! > 2 * noise) {
    let best = 1;
    for (let i = 1; i < least; i++) if (losses[i + 1]! - losses[i - 1]! < losses[best + 1]! - losses[best - 1]!) best = i;
    return { lr: rounded(points[best]!.lr), by: 'steepest descent' };
  }
  return diverged === undefined
    ? undefined
    : { lr: rounded(diverged / 10), by: 'a tenth of the rate at which the loss diverged' };
}

const rounded = (lr: number) => Number(lr.toPrecision(2));
