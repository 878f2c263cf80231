/** What training reports of its steps. */
import { type Figures, isStuck } from './device_state.js';
import type { RunOptions } from './options.js';

/** The result of one step. */
export interface StepResult {
  /** Steps done, from 1. */
  step: number;
  /** The loss on the step's batch: cross-entropy in nats per token, or the tokenizer's sum of losses. */
  loss: number;
  /** All metrics, `loss` among them. */
  metrics: Readonly<Record<string, number>>;
  lr: number;
  /** Global norm of the gradient before clipping. */
  gradNorm: number;
  /** The scale of the loss in mixed precision, after this step. */
  lossScale?: number;
  /** The gradient overflowed at the scale before: this step changed no weight. */
  skipped?: true;
}

/** A step of `Trainer.run`. */
export interface TrainStep extends StepResult {
  /** Steps of the run. */
  steps: number;
  epoch: number;
  /** Mean speed of the steps of this run so far, without evaluations. */
  imagesPerSecond: number;
  /** imagesPerSecond × tokens per image. */
  tokensPerSecond: number;
  /** Seconds that the rest should take. */
  secondsLeft: number;
  /** Means over the held-out images, at evaluations; with an average of weights also its loss, `emaLoss`. */
  eval?: Readonly<Record<string, number>>;
}

/** True if the next step must not start before this one is yielded: it evaluates, or it is the last. */
export const evaluatesAt = (step: number, { steps, evalEvery }: Pick<RunOptions, 'steps' | 'evalEvery'>) =>
  (evalEvery > 0 && step % evalEvery === 0) || step === steps;

/** True if training cannot go on after a step: its loss or gradient is not finite, and no smaller scale of the loss can help. */
export const isRuined = (figures: Figures): boolean =>
  !Number.isFinite(figures.metrics.loss) || isStuck(figures) || figures.ruinedBeside;

export function stepResult(step: number, lr: number, { metrics, gradNorm, lossScale }: Figures): StepResult {
  return {
    step,
    loss: metrics.loss!,
    metrics,
    lr,
    gradNorm,
    ...(lossScale !== undefined && { lossScale }),
    ...(!Number.isFinite(gradNorm) && { skipped: true as const }),
  };
}
