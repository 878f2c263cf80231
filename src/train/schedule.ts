/** Learning rate by step: w steps of warm-up, then constant, or falling to zero at the end linearly or as half a cosine. */
import { OptionError } from '../core/errors.js';

export interface Schedule {
  kind: 'constant' | 'linear' | 'cosine';
  /** The highest rate. */
  lr: number;
  /** Steps in all; the rate of a falling schedule would be 0 at this step, which is the first not taken. */
  steps: number;
  /** Steps of warm-up: step s < warmup has lr·(s + 1)/warmup. */
  warmup: number;
}

/** Throws OptionError naming the field that is out of its range. */
export function checkSchedule({ kind, lr, steps, warmup }: Schedule): void {
  if (kind !== 'constant' && kind !== 'linear' && kind !== 'cosine')
    throw new OptionError(`schedule is ${JSON.stringify(kind)}; it must be 'constant', 'linear' or 'cosine'.`);
  if (!Number.isFinite(lr) || lr <= 0) throw new OptionError(`lr is ${lr}; it must be a positive number.`);
  if (!Number.isInteger(steps) || steps < 1) throw new OptionError(`steps is ${steps}; it must be a whole number from 1.`);
  if (!Number.isInteger(warmup) || warmup < 0 || warmup > steps)
    throw new OptionError(`warmup is ${warmup}; it must be a whole number from 0 to the ${steps} steps of the run.`);
}

/** The rate of step s, counted from 0. */
export function learningRate({ kind, lr, steps, warmup }: Schedule, s: number): number {
  if (s < warmup) return (lr * (s + 1)) / warmup;
  if (kind === 'constant') return lr;
  const done = Math.min(1, (s - warmup) / (steps - warmup));
  return kind === 'linear' ? lr * (1 - done) : (lr * (1 + Math.cos(Math.PI * done))) / 2;
}
