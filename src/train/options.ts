/** The trainer's options: their defaults, their ranges and what the data and the stage of training decide. */
import type { Traits } from '../backend/backend.js';
import { OptionError } from '../core/errors.js';
import { checkOption, checkOptions, type OptionTable, shown } from '../core/options.js';
import type { Progress } from '../core/progress.js';
import type { Codes } from '../data/codes.js';
import type { ImageSplits } from '../data/dataset.js';
import type { ModelHandle } from '../model/handle.js';
import type { TrainBatch } from './batch.js';
import type { FeatureNetwork } from './features.js';
import { checkAdam, OPTIMIZER, type OptimizerOptions } from './optimizer.js';
import { checkSchedule, type Schedule } from './schedule.js';
import { BEFORE_STAGE1, checkStage1, STAGE1, type Stage, type Stage1Options } from './stage1.js';

export interface TrainerOptions extends OptimizerOptions, Stage1Options {
  /** The model to train, in place; a fresh one (AiM.fromConfig) or a checkpoint to fine-tune. */
  model: ModelHandle;
  /**
   * Codes train stage 2, images the tokenizer. Both may be the caller's own: see `Codes` and `ImageDataset`. Left out, there is no
   * `run`, and `step` takes the caller's batches.
   */
  data?: Codes | ImageSplits | undefined;
  /** Without data: what is trained, stage 2 ('model') or the 'tokenizer'. */
  stage?: Stage | undefined;
  /** The tokenizer's perceptual loss: a network of features (`openLpips`). Default none. */
  perceptual?: FeatureNetwork | undefined;
  /** Images per step. Default 32. */
  batchSize?: number;
  /** Parts that a step's batch is cut into, to save memory; must divide it. Default 1. */
  accumulate?: number;
  /**
   * Save the residual sum and the output of each layer alone, and compute the other activations again, layer by layer, in the backward
   * pass (gradient checkpointing, Chen et al. 2016; stage 2). The results are the same, bit for bit. Default false.
   */
  recompute?: boolean;
  /** Passes over the data. Default 1. */
  epochs?: number;
  /** Steps in all, instead of epochs. Without data there is by default no end (2^53 − 1). */
  steps?: number;
  /** Highest learning rate. Default 1e-4 · batchSize / 256 for the model (paper), 1e-4 for the tokenizer. */
  lr?: number;
  /** Default 'linear' (to zero) for the model, 'constant' for the tokenizer, and where training has no end. */
  schedule?: Schedule['kind'];
  /** Steps of warm-up. Default 0. */
  warmup?: number;
  /** Order of the data, dropped labels and crops. Default 0. */
  seed?: number;
  /** Share of labels made unconditional (stage 2). Default 0.1. */
  labelDropout?: number;
  /**
   * Parameters that keep their values bit for bit, by their names in a checkpoint, in which `*` stands for any text:
   * `['mamba.backbone.layers.*']`. They have no moments and no weight decay, and their gradients do not count for `clipNorm` (as in
   * PyTorch, where they have none). Default none.
   */
  freeze?: readonly string[];
  /** Evaluate after every so many steps and at the end; 0 never. Default: every epoch. */
  evalEvery?: number;
  /** Held-out images to evaluate on. Default all. */
  evalItems?: number;
}

/** Options that may differ when a run is resumed; with others it would be another run. */
export const CHANGEABLE: readonly string[] = ['steps', 'lr', 'evalEvery', 'recompute'];

/** Options that runs of earlier versions do not have, with the values that say what those did. */
export const BEFORE: Readonly<Record<string, unknown>> = { ...BEFORE_STAGE1, freeze: [] };

/** Options of a run without the model, the data and the network of the perceptual loss. */
export type RunSettings = Omit<TrainerOptions, 'model' | 'data' | 'stage' | 'perceptual'>;

/** The options that a resumed run must share with the one it continues. */
export type RunOptions = Required<Omit<RunSettings, 'epochs'>> & { stage: Stage };

const { default: _, ...lossScale } = OPTIMIZER.lossScale;

export const TRAINER = {
  ...OPTIMIZER,
  ...STAGE1,
  batchSize: { type: 'integer', min: 1, default: 32, about: 'images per step' },
  recompute: {
    type: 'boolean',
    default: false,
    about: 'compute activations again in the backward pass instead of saving them: much less memory, slower (stage 2)',
  },
  epochs: { type: 'number', min: 0, exclusiveMin: true, about: 'passes over the data; by default 1' },
  steps: { type: 'integer', min: 1, about: 'steps in all, instead of epochs' },
  lr: {
    type: 'number',
    min: 0,
    exclusiveMin: true,
    about: 'highest learning rate; by default 1e-4 · batchSize / 256 for the model, 1e-4 for the tokenizer',
  },
  schedule: {
    type: 'choice',
    choices: ['constant', 'linear', 'cosine'],
    about: 'schedule of the learning rate; by default linear (to zero) for the model, constant for the tokenizer',
  },
  warmup: { type: 'integer', min: 0, default: 0, about: 'steps of warm-up' },
  seed: { type: 'integer', min: 0, default: 0, about: 'seed of the order of the data, dropped labels and crops' },
  labelDropout: { type: 'number', min: 0, max: 1, default: 0.1, about: 'share of labels made unconditional (stage 2)' },
  freeze: { type: 'strings', default: [], about: 'parameters that keep their values, by name; * stands for any text' },
  evalEvery: { type: 'integer', min: 0, about: 'evaluate after every so many steps; 0 never, by default every epoch' },
  evalItems: { type: 'integer', min: 0, about: 'held-out images to evaluate on; by default all' },
  lossScale: {
    ...lossScale,
    about: 'first scale of the loss; 0 is none; by default none, in mixed precision 1024, or 32768 where activations are float16',
  },
} as const satisfies OptionTable<RunSettings>;

/** Options of `Trainer.run`. */
export interface StretchOptions {
  /** Aborts the training; another `run` continues. */
  signal?: AbortSignal | undefined;
  /** The last step of this call. Default: that of the run. */
  until?: number;
  /** Whether steps are evaluated that `evalEvery` asks for. Default true; false ends soon after a signal. */
  evaluate?: boolean;
}

export const STRETCH = {
  until: { type: 'integer', min: 0, about: 'the last step of this call' },
  evaluate: { type: 'boolean', default: true, about: 'whether steps are evaluated that evalEvery asks for' },
  signal: { type: 'signal', about: 'stops the training' },
} as const satisfies OptionTable<StretchOptions>;

/** Options of `Trainer.step`. */
export interface StepOptions {
  /** Learning rate of this step. Default: that of the schedule. */
  lr?: number | undefined;
}

export const STEP = {
  lr: { type: 'number', min: 0, about: 'learning rate of this step; by default that of the schedule' },
} as const satisfies OptionTable<StepOptions>;

/** Options of `Trainer.tune`. */
export interface TuneTrainingOptions {
  /** Called with the number of choices made so far, in the phase 'tune'. */
  onProgress?: ((progress: Progress) => void) | undefined;
  /** Aborts the measurements. */
  signal?: AbortSignal | undefined;
}

export const TUNE_TRAINING = {
  onProgress: { type: 'function', about: 'called with the number of choices made so far' },
  signal: { type: 'signal', about: 'stops the measurements' },
} as const satisfies OptionTable<TuneTrainingOptions>;

/** Options of `Trainer.evaluate`. */
export interface EvaluateOptions {
  /** Images to evaluate on instead of the held-out ones. */
  batch?: TrainBatch | undefined;
  /** Aborts the evaluation. */
  signal?: AbortSignal | undefined;
}

export const EVALUATE = {
  batch: { type: 'other', about: 'images to evaluate on instead of the held-out ones' },
  signal: { type: 'signal', about: 'stops the evaluation' },
} as const satisfies OptionTable<EvaluateOptions>;

/** Options of `Trainer.resume`. */
export interface ResumeOptions {
  /** Accept other images of the same classes. The run then continues, but not as if it had never stopped. */
  dataChanged?: boolean | undefined;
}

export const RESUME = {
  dataChanged: { type: 'boolean', default: false, about: 'accept other images of the same classes' },
} as const satisfies OptionTable<ResumeOptions>;

/** Options of `saveCheckpoint`. */
export interface KeepOptions {
  /** The newest checkpoints to keep. Default 3. */
  keep?: number | undefined;
  /**
   * True for the best checkpoint of the run so far: the file `best` then names it, so that it stays in the folder, and what reads the
   * run as a model takes it instead of the newest.
   */
  best?: boolean | undefined;
  /** Aborts the saving; then nothing of it remains. */
  signal?: AbortSignal | undefined;
}

export const KEEP = {
  keep: { type: 'integer', min: 1, default: 3, about: 'the newest checkpoints to keep' },
  best: { type: 'boolean', default: false, about: 'whether this is the best checkpoint of the run so far' },
  signal: { type: 'signal', about: 'stops the saving' },
} as const satisfies OptionTable<KeepOptions>;

/**
 * Scale of the loss in mixed precision. Not large, since products scale gradients by the rows they are a mean over, too, but for those of
 * stage 2 that are stored as float16.
 */
const LOSS_SCALE = 1024;
const HALF_LOSS_SCALE = 32768;

/** The scale of the loss by default, on a backend with these traits; 0 is none. */
export const defaultLossScale = ({ roundsProducts, halfActivations }: Traits, stage: Stage) =>
  stage === 'model' && halfActivations ? HALF_LOSS_SCALE : roundsProducts ? LOSS_SCALE : 0;

/** Checks the options that a table can check. Throws OptionError. */
export const checkSettings = (given: RunSettings) => checkOptions<RunSettings, typeof TRAINER>('Trainer', given, TRAINER);

const STAGE = { type: 'choice', choices: ['model', 'tokenizer'], about: 'what is trained' } as const;

/** The stage that data trains, or without data the one asked for. Throws OptionError. */
export function stageOf(data: TrainerOptions['data'], wanted: Stage | undefined): Stage {
  if (wanted !== undefined) checkOption('stage', wanted, STAGE);
  if (data === undefined) {
    if (wanted) return wanted;
    throw new OptionError("Trainer: give it data, or say by stage 'model' or 'tokenizer' what step(batch) trains.");
  }
  const isObject = typeof data === 'object' && data !== null;
  if (!isObject || !('codes' in data || 'train' in data))
    throw new OptionError(`Trainer: the data is ${shown(data)}; pass codes, or { train, eval } with images.`);
  const stage = 'codes' in data ? 'model' : 'tokenizer';
  if (wanted !== undefined && wanted !== stage)
    throw new OptionError(`Trainer: stage is ${wanted}, and this data trains the ${stage}; leave stage out.`);
  return stage;
}

/** Properties of the data and the device on which the defaults of a run depend. */
export interface RunFacts {
  stage: Stage;
  /** Steps of one pass over the data; 0 without data. */
  stepsPerEpoch: number;
  /** Held-out images. */
  evalLength: number;
  /** The scale of the loss by default; 0 is none. */
  lossScale: number;
  /** The perceptual loss; see `perceptualName`. */
  perceptual: string;
  /** Side of the images in pixels. */
  size: number;
}

/** All options of a run, defaults filled in. Throws OptionError for options that do not fit each other. */
export function runOptions(given: ReturnType<typeof checkSettings>, facts: RunFacts): RunOptions {
  const { epochs, ...settings } = given;
  if (epochs !== undefined && given.steps !== undefined)
    throw new OptionError('epochs and steps are both given; give one of them.');
  const { stage, stepsPerEpoch } = facts;
  const { batchSize, accumulate } = settings;
  if (epochs !== undefined && stepsPerEpoch === 0)
    throw new OptionError('epochs are passes over the data, and there is none; give steps.');
  const end = given.steps ?? (stepsPerEpoch ? Math.round((epochs ?? 1) * stepsPerEpoch) : undefined);
  const schedule = given.schedule ?? (stage === 'model' && end !== undefined ? 'linear' : 'constant');
  if (end === undefined && schedule !== 'constant')
    throw new OptionError(`schedule ${schedule} needs an end, and without data there is none; give steps.`);
  const options: RunOptions = {
    stage,
    batchSize,
    accumulate,
    recompute: settings.recompute,
    steps: end ?? Number.MAX_SAFE_INTEGER,
    lr: given.lr ?? (stage === 'model' ? (1e-4 * batchSize) / 256 : 1e-4),
    schedule,
    warmup: settings.warmup,
    seed: settings.seed,
    labelDropout: settings.labelDropout,
    freeze: [...settings.freeze],
    evalEvery: given.evalEvery ?? stepsPerEpoch,
    evalItems: Math.min(given.evalItems ?? Number.MAX_SAFE_INTEGER, facts.evalLength),
    betas: settings.betas,
    eps: settings.eps,
    weightDecay: settings.weightDecay,
    clipNorm: settings.clipNorm,
    emaDecay: settings.emaDecay,
    lossScale: given.lossScale ?? facts.lossScale,
    loss: settings.loss,
    perceptualWeight: settings.perceptualWeight,
    discriminator: settings.discriminator,
    discStart: settings.discStart,
    discWeight: settings.discWeight,
    discChannels: settings.discChannels,
    adaptive: settings.adaptive,
    restartCodes: settings.restartCodes,
  };
  checkSchedule({ kind: options.schedule, lr: options.lr, steps: options.steps, warmup: options.warmup });
  if (batchSize % accumulate)
    throw new OptionError(`accumulate is ${accumulate}; it must divide the batch of ${batchSize} images.`);
  if (options.recompute && stage === 'tokenizer')
    throw new OptionError('recompute is for the training of stage 2, and this trains a tokenizer; leave it out.');
  checkAdam(options);
  checkStage1({ ...options, perceptual: facts.perceptual }, facts.size);
  return options;
}
