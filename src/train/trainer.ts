/** The training loop: batches, gradient accumulation, AdamW, evaluation, and checkpoints from which a run continues exactly. */
import type { TunedKernel } from '../backend/tune.js';
import { CheckpointError, DeviceError, OptionError, TrainingError } from '../core/errors.js';
import { checkOptions } from '../core/options.js';
import type { Tensor } from '../core/tensor.js';
import { type Codes, checkCodes } from '../data/codes.js';
import type { ImageSplits } from '../data/dataset.js';
import { type ModelHandle, modelOf } from '../model/handle.js';
import type { Model } from '../model/model.js';
import type { TrainingOrigin } from '../model/origin.js';
import { toCheckpoint } from '../model/params.js';
import type { Placed } from '../model/placed.js';
import { extraTensors } from '../model/save.js';
import { pause } from '../platform/runtime.js';
import { type ClassRows, classRows } from './classes.js';
import { divergenceRemedy } from './content.js';
import { DeviceState, type Figures, type Run, rateOf } from './device_state.js';
import { type CheckpointParts, heldCheckpoint, type NamedTensor, type SavedCheckpoint } from './folder.js';
import { checkIdentity, type DataIdentity, identityOfCodes, identityOfImages, savedIdentity } from './identity.js';
import type { Slot } from './optimizer.js';
import {
  CHANGEABLE,
  checkSettings,
  EVALUATE,
  type EvaluateOptions,
  RESUME,
  type ResumeOptions,
  type RunOptions,
  runOptions,
  STRETCH,
  type StretchOptions,
  type TrainerOptions,
  TUNE_TRAINING,
  type TuneTrainingOptions,
} from './options.js';
import { Order } from './order.js';
import { modelTask, tokenizerTask } from './task.js';

export type {
  EvaluateOptions,
  ResumeOptions,
  RunOptions,
  StretchOptions,
  TrainerOptions,
  TuneTrainingOptions,
} from './options.js';

export interface TrainStep {
  /** Steps done, from 1. */
  step: number;
  steps: number;
  epoch: number;
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

/** Models with a trainer that is not disposed of yet. */
const inTraining = new WeakSet<Model>();

/**
 * Trains a model in place. If the GPU device is lost, training continues by itself on a new one: it starts from the state that `keep`
 * or `resume` was last given (or from the beginning) and takes the steps since then again. Batches and random numbers depend only on
 * the step, so the weights are the same, bit for bit, as without the loss, and no step is reported twice.
 *
 * Stage 2 trains the classes of the data by name where the model has class names: see `classRows`. The model's `classes` are the
 * resulting names as soon as training begins.
 */
export class Trainer {
  readonly options: RunOptions;
  readonly stepsPerEpoch: number;
  private readonly model: Model;
  private readonly handle: ModelHandle;
  private readonly data: Codes | ImageSplits;
  private readonly codes: Codes | undefined;
  /** Which class of the model each class of the data is; undefined for the tokenizer, which knows no classes. */
  readonly classRows: ClassRows | undefined;
  private readonly plan: Run;
  /** Progress of the run, from which the model restores its weights: steps taken and the newest known state. */
  private readonly origin: TrainingOrigin;
  /** Results of steps that were submitted but not yet yielded by `run`, by step. */
  private readonly pending = new Map<number, () => Promise<Figures>>();
  /** Identifies the data; computed when it is needed for the first time. */
  private identity: DataIdentity | undefined;
  /** Changes with each step that begins, so that a checkpoint notices that the weights are no longer its own. */
  private version = 0;
  private stepping = false;
  /** The average of weights is in the model's place. */
  private averaged = false;
  private state: DeviceState;
  /** Time of the steps yielded so far, without evaluations and what the caller does between steps. */
  private readonly worked = { steps: 0, ms: 0 };
  /** The newest call of `run`, and whether it is working on a step at the moment. */
  private newest: symbol | undefined;
  private busy = false;
  private disposed = false;

  /**
   * Throws OptionError for unknown options, options out of range, data that does not fit the model, and a model that another
   * trainer, which is not disposed of, is training.
   */
  constructor({ model: handle, data, ...given }: TrainerOptions) {
    const settings = checkSettings(given);
    const model = modelOf(handle);
    if (inTraining.has(model))
      throw new OptionError('this model has a trainer already; call dispose() of that one before another is made.');
    const isCodes = 'codes' in data;
    this.model = model;
    this.handle = handle;
    this.data = data;
    this.codes = isCodes ? data : undefined;
    const { num_classes } = model.config;
    // More classes than the model has are refused by checkCodes.
    if (isCodes && data.classes.length <= num_classes) this.classRows = classRows(data.classes, model.classes, num_classes);
    const task = isCodes
      ? modelTask(model, data, { labelDropout: settings.labelDropout, rows: this.classRows?.rows })
      : tokenizerTask(model, data);
    const { stage } = task;
    const order = new Order({ length: task.length, batchSize: settings.batchSize, seed: settings.seed });
    this.stepsPerEpoch = order.stepsPerEpoch;
    const facts = {
      stage,
      stepsPerEpoch: order.stepsPerEpoch,
      evalLength: task.evalLength,
      mixed: model.be.traits.roundsProducts,
    };
    this.options = runOptions(settings, facts);
    this.plan = { model, task, order, options: this.options };
    model.widen();
    this.state = new DeviceState(model.on, this.plan);
    this.origin = { from: 'training', part: task.prefix, step: 0, checkpoint: undefined, trainer: this };
    model.remember(this.origin);
    inTraining.add(model);
  }

  /** Steps taken: the device's weights are those after this many. */
  get step(): number {
    return this.origin.step;
  }

  /** Finds the fastest launches of this training's kernels on this GPU and uses them; see `AiM.tune`. */
  async tune(options: TuneTrainingOptions = {}): Promise<TunedKernel[]> {
    const checked = checkOptions<TuneTrainingOptions, typeof TUNE_TRAINING>('tune', options, TUNE_TRAINING);
    return this.attempt(async () => {
      const tuned = await this.model.tune(checked);
      this.state.rerecord();
      return tuned;
    }, checked.signal);
  }

  /**
   * Trains to the last step, or to step `until`, and yields each. While a step is being used, the device works on the next one,
   * except at evaluations. Nothing is lost by leaving the loop or by aborting `signal` (which rejects with its reason): another
   * `run` continues and first yields the steps that were taken but not yielded (`until: trainer.step` yields only those).
   * Throws TrainingError, with the step and the tensor, when a gradient is not finite: that step changes no weight, but the steps
   * before may have ruined the weights already. Throws OptionError when another `run` of this trainer is working on a step, or has
   * taken over since.
   */
  async *run(options: StretchOptions = {}): AsyncGenerator<TrainStep, void, undefined> {
    const { signal, evaluate, until = Infinity } = checkOptions<StretchOptions, typeof STRETCH>('run', options, STRETCH);
    const last = Math.min(until, this.options.steps);
    if (this.busy) throw new OptionError('run() of this trainer is under way; await its step before another begins.');
    const self = Symbol();
    this.newest = self;
    this.busy = true;
    try {
      if (this.codes) await checkCodes(this.handle, this.codes);
      await this.identify();
      if (this.classRows) this.model.classes = [...this.classRows.names];
      if (this.step === 0) await this.attempt(() => this.state.optimizer.resetEma(), signal);
      for (let done = this.step - this.pending.size + 1; done <= last; done++) {
        const step = await this.oneStep(done, last, evaluate, signal);
        this.busy = false;
        yield step;
        if (this.newest !== self || this.busy)
          throw new OptionError('another run() of this trainer has begun since; continue with that one.');
        this.busy = true;
      }
    } finally {
      if (this.newest === self) this.busy = false;
    }
  }

  /** Waits for step `done` and reports it, after submitting the one after it where that may start already. */
  private async oneStep(done: number, last: number, evaluate: boolean, signal: AbortSignal | undefined): Promise<TrainStep> {
    const since = performance.now();
    const { steps, evalEvery, evalItems, batchSize } = this.options;
    const evaluates = evaluatesAt(done, this.options);
    while (this.step < Math.min(evaluates ? done : done + 1, last)) {
      signal?.throwIfAborted();
      await this.attempt(() => this.take(), signal);
      if (!this.state.be.traits.asynchronous) await pause();
    }
    const { metrics, gradNorm, lossScale } = await this.attempt(() => this.pending.get(done)!(), signal);
    const skipped = !Number.isFinite(gradNorm);
    const hopeless = lossScale === undefined || lossScale < 1;
    if (!Number.isFinite(metrics.loss) || (skipped && hopeless)) await this.fail(done - 1, metrics.loss!);
    this.worked.ms += performance.now() - since;
    const seconds = this.worked.ms / 1000 / ++this.worked.steps;
    const perSecond = batchSize / seconds;
    const step: TrainStep = {
      step: done,
      steps,
      epoch: done / this.stepsPerEpoch,
      loss: metrics.loss!,
      metrics,
      lr: rateOf(this.options, done - 1),
      gradNorm,
      ...(lossScale !== undefined && { lossScale }),
      ...(skipped && { skipped }),
      imagesPerSecond: perSecond,
      tokensPerSecond: perSecond * this.model.config.num_tokens,
      secondsLeft: seconds * (steps - done),
    };
    if (evaluate && evaluates && evalEvery > 0 && evalItems > 0) step.eval = await this.evaluate({ signal });
    this.pending.delete(done);
    return step;
  }

  /** Submits the next step. */
  private async take(): Promise<void> {
    this.version++;
    this.stepping = true;
    try {
      const figures = await this.state.advance(this.step);
      this.pending.set(++this.origin.step, figures);
    } finally {
      this.stepping = false;
    }
  }

  /** Floating-point operations of one step on the device. */
  get cost(): { flops: number } {
    return this.state.cost;
  }

  /** Means of the metrics over the held-out images. */
  async evaluate(options: EvaluateOptions = {}): Promise<Record<string, number>> {
    const { signal } = checkOptions<EvaluateOptions, typeof EVALUATE>('evaluate', options, EVALUATE);
    const evaluate = () => this.attempt((on) => this.state.evaluate(on, signal), signal);
    const plain = await evaluate();
    if (!this.options.emaDecay) return plain;
    const { loss } = await this.withEma(evaluate);
    return { ...plain, emaLoss: loss! };
  }

  /** Runs `fn` with the average of weights in the model's place (with the weights themselves when there is no average). */
  async withEma<R>(fn: () => Promise<R>): Promise<R> {
    if (!this.options.emaDecay) return fn();
    const exchange = async () => {
      this.state.exchangeAverage();
      this.averaged = !this.averaged;
    };
    await this.attempt(exchange);
    try {
      return await fn();
    } finally {
      await this.attempt(exchange);
    }
  }

  /**
   * Everything a checkpoint holds, after `this.step` steps. Tensors are read when they are written, so the checkpoint must be saved
   * before training goes on: afterwards reading them throws OptionError.
   */
  checkpoint(): CheckpointParts {
    const { model, options, step, version } = this;
    const { slots } = this.state.optimizer;
    const assertCurrent = () => {
      if (this.version !== version || this.stepping || this.step !== step)
        throw new OptionError(
          `training went on while the checkpoint of step ${step} was being read; await saveCheckpoint before the next step.`,
        );
      if (this.averaged) throw new OptionError('a checkpoint cannot be read inside withEma(); save it before or afterwards.');
    };
    const current = async <R>(read: () => Promise<R>): Promise<R> => {
      assertCurrent();
      const result = await read();
      assertCurrent();
      return result;
    };
    // The tensors are looked up when they are read, because a lost device takes the present ones with it.
    const values = (of: (state: DeviceState) => Tensor) =>
      current(() => this.attempt(async () => Float32Array.from(await this.state.be.read(of(this.state)))));
    const slot = (prefix: string, which: (s: Slot) => Tensor) => (s: Slot, i: number) => ({
      name: `${prefix}${s.name}`,
      shape: s.spec.shape,
      data: async () => toCheckpoint(s.spec, await values(({ optimizer }) => which(optimizer.slots[i]!))),
    });
    const lossScale = { name: 'loss_scale', shape: [2], data: () => values(({ optimizer }) => optimizer.lossScale!) };
    const weights = [...model.named()].map(
      ([name, { spec }]): NamedTensor => ({
        name,
        shape: spec.shape,
        data: async () => toCheckpoint(spec, await current(() => model.read(name))),
      }),
    );
    if (this.codes) this.identity ??= identityOfCodes(this.codes);
    const data = this.identity;
    return {
      config: model.config.json,
      classes: this.classRows?.names ?? model.classes,
      model: [...weights, ...extraTensors(model.config)],
      optimizer: [
        ...slots.map(slot('m.', (s) => s.m)),
        ...slots.map(slot('v.', (s) => s.v)),
        ...(options.lossScale ? [lossScale] : []),
      ],
      ema: options.emaDecay ? slots.map(slot('', (s) => s.ema!)) : undefined,
      state: { step, options, ...(data && { data }) },
    };
  }

  /** Computes what identifies the data, once. For images this lists all files, so `run` and `resume` call it, and `checkpoint` does not. */
  private async identify(): Promise<DataIdentity> {
    this.identity ??= 'codes' in this.data ? identityOfCodes(this.data) : await identityOfImages(this.data);
    return this.identity;
  }

  /**
   * Continues from a checkpoint whose weights `model` already holds: restores the optimizer's state, the average and the step. The
   * options `steps`, `lr` and `evalEvery` may differ from those of the run. Throws OptionError when others differ, or when the data
   * is not that of the run; CheckpointError when a tensor does not fit or has a value that is not finite.
   */
  async resume(saved: SavedCheckpoint, options: ResumeOptions = {}): Promise<void> {
    const { dataChanged } = checkOptions<ResumeOptions, typeof RESUME>('resume', options, RESUME);
    const was = savedIdentity(saved.state.data);
    if (was) checkIdentity(was, await this.identify(), dataChanged);
    this.checkRun(saved, dataChanged);
    await this.attempt(() => this.state.load(saved));
    this.origin.checkpoint = saved;
    this.origin.step = saved.state.step;
    this.version++;
    this.pending.clear();
  }

  /**
   * Sets the state from which training continues after a lost GPU device: a checkpoint of this run, whose files must stay, or, without
   * an argument, a copy of everything in memory (12 bytes per trained parameter, 16 with an average of weights; no copy is made where
   * the library cannot replace the device). Until this is called, it is the state in which training began or was resumed.
   */
  async keep(saved?: SavedCheckpoint): Promise<void> {
    if (saved) this.checkRun(saved, true);
    else if (!this.model.replaceable) return;
    this.origin.checkpoint = saved ?? (await heldCheckpoint(this.checkpoint()));
  }

  /** Frees what training needs; the model stays. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    inTraining.delete(this.model);
    this.state.dispose();
    const { origin } = this;
    origin.trainer = undefined;
    // An older state than the weights on the device would restore other weights.
    if (origin.checkpoint?.state.step !== origin.step) origin.checkpoint = undefined;
  }

  /**
   * @internal Called by `restore` (model/origin.ts) on another device, where the weights are those of the checkpoint or of the
   * beginning: loads the rest of that state and takes the steps since again.
   */
  async replay(on: Placed, signal?: AbortSignal): Promise<void> {
    const { checkpoint, step } = this.origin;
    const state = new DeviceState(on, this.plan);
    if (checkpoint) await state.load(checkpoint);
    else await state.optimizer.resetEma();
    let before: (() => Promise<Figures>) | undefined;
    for (let taken = checkpoint?.state.step ?? 0; taken < step; taken++) {
      signal?.throwIfAborted();
      const figures = await state.advance(taken);
      if (this.pending.has(taken + 1)) this.pending.set(taken + 1, figures);
      // No further ahead of the device than training itself.
      await before?.();
      before = figures;
    }
    await state.be.settle();
    if (this.averaged) state.exchangeAverage();
    this.state = state;
  }

  /** Work on the device, repeated when that was lost. A DeviceError also says from which state the run can be continued. */
  private async attempt<R>(work: (on: Placed) => Promise<R>, signal?: AbortSignal): Promise<R> {
    try {
      return await this.model.attempt(work, signal);
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error;
      const { checkpoint } = this.origin;
      const newest = checkpoint
        ? `The newest state known is of step ${checkpoint.state.step}: ${checkpoint.path}.`
        : 'No checkpoint of this run is known.';
      throw new DeviceError(`${error.message} ${newest}`, { cause: error });
    }
  }

  private checkRun({ path, state }: SavedCheckpoint, dataChanged: boolean): void {
    const was = state.options as RunOptions | undefined | null;
    if (typeof was !== 'object' || was === null)
      throw new CheckpointError(`${path}: its state.json has no options; it is not a checkpoint of this trainer.`);
    for (const key of Object.keys(this.options) as (keyof RunOptions)[]) {
      // Changed data may have fewer held-out images.
      if (CHANGEABLE.includes(key) || (dataChanged && key === 'evalItems')) continue;
      if (JSON.stringify(was[key]) !== JSON.stringify(this.options[key]))
        throw new OptionError(
          `the run was trained with ${key} ${JSON.stringify(was[key])}, now it is ${JSON.stringify(this.options[key])}; ` +
            'resume with the same options, or begin a new run from its weights.',
        );
    }
    if (this.options.steps < state.step)
      throw new OptionError(
        `the run is at step ${state.step} already, and ${this.options.steps} steps are asked for; ask for more steps.`,
      );
  }

  /** Finds out which gradients of the step after `step` are not finite, and throws. The step itself changed nothing. */
  private async fail(step: number, loss: number): Promise<never> {
    const culprits = await this.state.badGradients(step);
    this.origin.step = Math.min(this.step, step);
    this.version++;
    this.pending.clear();
    const where = culprits.length
      ? `the gradient of ${culprits[0]}${culprits.length > 1 ? ` (and ${culprits.length - 1} more)` : ''}`
      : 'the loss';
    throw new TrainingError(
      `step ${step + 1}: ${where} is not finite (loss ${loss}): training has diverged, and the steps before may have ruined the ` +
        `weights already. ${divergenceRemedy(this.options.lr)}`,
    );
  }
}
