/** Golden gradients and AdamW steps of stage 2: one forward and backward pass on the goldens' batch, followed by five steps. */
import type { NumArray } from '../core/tensor.js';
import { Acts } from '../model/acts.js';
import { type AimParams, aimLoss } from '../model/aim.js';
import type { Model } from '../model/model.js';
import { mapParams, toCheckpoint } from '../model/params.js';
import type { Placed } from '../model/placed.js';
import { Optimizer } from '../train/optimizer.js';
import { defaultLossScale } from '../train/options.js';

/**
 * The optimizer of the goldens: constant lr 1e-3, betas 0.9 and 0.95, eps 1e-8, decay 0.05 on 2 or more dimensions, no clipping.
 */
const STEPS = 5;
const LR = 1e-3;

/** The results of a short training run. */
export interface TrainingRun {
  /** Gradients of the first loss by checkpoint name, in checkpoint order. */
  grads: Map<string, NumArray>;
  /** The loss before each step. */
  losses: number[];
  /** The parameters after all steps, by checkpoint name. */
  after: Map<string, NumArray>;
}

/** Trains `params` on one batch, then restores them. */
export async function trainingRun(
  model: Model,
  {
    params,
    tokens,
    labels,
    steps = STEPS,
    signal,
  }: {
    /** The parameters, all float32. */
    params: Placed['params'];
    /** [b, T] */
    tokens: NumArray;
    /** [b] */
    labels: NumArray;
    /** Number of AdamW steps; those of the goldens are five. */
    steps?: number;
    signal?: AbortSignal | undefined;
  },
): Promise<TrainingRun> {
  const { be, config } = model;
  const b = labels.length;
  const named = [...model.named({ be, params }, 'mamba.')];
  const before = new Map<string, NumArray>();
  for (const [name, { tensor }] of named) before.set(name, await be.read(tensor));

  const lossScale = defaultLossScale(be.traits, 'model');
  const optimizer = new Optimizer(
    be,
    named.map(([name, { spec, tensor }]) => ({ name, spec, param: tensor })),
    { clipNorm: 0, lossScale },
  );
  const byName = new Map(optimizer.slots.map((s) => [s.name, s]));
  const grads = mapParams(
    model.tree.mamba.backbone,
    (_spec, name) => byName.get(`mamba.backbone.${name}`)!.grad,
  ) as unknown as AimParams;
  const batch = {
    tokens: be.from(tokens.subarray(0, b * config.num_tokens), [b, config.num_tokens], 'u32'),
    condition: { labels: be.from(labels, [b], 'u32') },
    step: be.from(new Uint32Array(b), [b], 'u32'),
    loss: be.tensor([1]),
    lossScale: optimizer.lossScale,
  };
  const acts = new Acts(be, true);
  const run: TrainingRun = { grads: new Map(), losses: [], after: new Map() };
  try {
    for (let step = 1; step <= steps; step++) {
      signal?.throwIfAborted();
      optimizer.zeroGrad();
      aimLoss(be, params.mamba.backbone, config, batch, acts, grads);
      run.losses.push((await be.read(batch.loss))[0]!);
      if (step === 1) {
        const unscaled = (g: number) => g / (lossScale || 1);
        for (const s of optimizer.slots) run.grads.set(s.name, toCheckpoint(s.spec, await be.read(s.grad)).map(unscaled));
      }
      optimizer.prepare(step, LR);
      optimizer.update();
    }
    for (const s of optimizer.slots) run.after.set(s.name, toCheckpoint(s.spec, await be.read(s.param)));
  } finally {
    acts.free();
    optimizer.dispose();
    be.free(batch.tokens, batch.condition.labels, batch.step, batch.loss);
    for (const [name, { tensor }] of named) be.write(tensor, before.get(name)!);
  }
  return run;
}

/** Absolute tolerance of a weight after the AdamW steps, beyond what gradient errors explain. */
const AFTER_ABS = 2e-4;

/**
 * Compares parameters after the steps. `share` is the largest ratio of an error to the error allowed for that weight. `noise` is
 * the error of gradients, relative to the largest of the tensor. AdamW moves each weight by about lr in the direction of its
 * gradient, whatever the size. Over all steps, such an error can therefore move a weight by up to 2·STEPS·lr if its gradient is
 * not larger than the error, and by proportionally less if the gradient is larger.
 */
export function compareAfter(got: ArrayLike<number>, want: ArrayLike<number>, grad: ArrayLike<number>, noise: number) {
  let largest = 0;
  for (let i = 0; i < grad.length; i++) largest = Math.max(largest, Math.abs(grad[i]!));
  let maxAbs = 0;
  let share = 0;
  for (let i = 0; i < want.length; i++) {
    const diff = Math.abs(got[i]! - want[i]!);
    const uncertainty = largest === 0 ? 1 : Math.min(1, (noise * largest) / Math.abs(grad[i]!));
    // NaN propagates and fails.
    share = Math.max(share, diff / (AFTER_ABS + 2 * STEPS * LR * uncertainty));
    maxAbs = Math.max(maxAbs, diff);
  }
  return { maxAbs, share };
}
