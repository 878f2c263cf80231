/** The training loop: batches, gradient accumulation, AdamW, evaluation, and checkpoints from which a run continues exactly. */
import type { TunedKernel } from '../backend/tune.js';
import { DeviceError, DisposedError, OptionError } from '../core/errors.js';
import { checkOptions } from '../core/options.js';
import { type Codes, checkCodes } from '../data/codes.js';
import type { ImageSplits } from '../data/dataset.js';
import type { ModelHandle } from '../model/handle.js';
import type { Model } from '../model/model.js';
import type { TrainingOrigin } from '../model/origin.js';
import type { Placed } from '../model/placed.js';
import { pause } from '../platform/runtime.js';
import type { TrainBatch } from './batch.js';
import { checkpointParts, checkRun, withNewestState } from './checkpoint.js';
import type { ClassRows } from './classes.js';
import { diverged } from './content.js';
import { DeviceState, type Figures, type Run, rateOf } from './device_state.js';
import { type CheckpointParts, heldCheckpoint, type SavedCheckpoint } from './folder.js';
import { checkIdentity, type DataIdentity, identityOfCodes, identityOfImages, savedIdentity } from './identity.js';
import { assertFits, withRemedies } from './memory.js';
import {
  EVALUATE,
  type EvaluateOptions,
  RESUME,
  type ResumeOptions,
  type RunOptions,
  STEP,
  STRETCH,
  type StepOptions,
  type StretchOptions,
  type TrainerOptions,
  TUNE_TRAINING,
  type TuneTrainingOptions,
} from './options.js';
import { type OwnStep, OwnSteps } from './own_steps.js';
import { planOf } from './plan.js';
import { evaluatesAt, isRuined, type StepResult, stepResult, type TrainStep } from './report.js';

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
  /** Steps of one pass over the data; 0 without data. */
  readonly stepsPerEpoch: number;
  private readonly model: Model;
  private readonly handle: ModelHandle;
  private readonly data: Codes | ImageSplits | undefined;
  private readonly codes: Codes | undefined;
  /** Which class of the model each class of the data is; undefined for the tokenizer, which knows no classes. */
  readonly classRows: ClassRows | undefined;
  private readonly plan: Run;
  /** Progress of the run, from which the model restores its weights: steps taken and the newest known state. */
  private readonly origin: TrainingOrigin;
  /** Results of steps that were submitted but not yet reported, by step. */
  private readonly pending = new Map<number, () => Promise<Figures>>();
  private readonly own = new OwnSteps();
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
  /** The newest call of `run`, and the method that is working on a step at the moment. */
  private newest: symbol | undefined;
  private busy: 'run' | 'step' | undefined;
  private begun = false;
  private disposed = false;

  /**
   * Throws OptionError for unknown options, options out of range, data that does not fit the model, and a model that another
   * trainer, which is not disposed of, is training; OutOfMemoryError if the device has too little memory. Without `data`, `stage` says
   * what is trained, and `step` takes the batches.
   */
  constructor(options: TrainerOptions) {
    const { rows, ...plan } = planOf(options);
    const { model } = plan;
    if (inTraining.has(model))
      throw new OptionError('this model has a trainer already; call dispose() of that one before another is made.');
    const { data } = options;
    this.model = model;
    this.handle = options.model;
    this.data = data;
    this.codes = data && 'codes' in data ? data : undefined;
    this.classRows = rows;
    this.stepsPerEpoch = plan.order?.stepsPerEpoch ?? 0;
    this.options = plan.options;
    this.plan = plan;
    model.widen();
    try {
      this.state = new DeviceState(model.on, this.plan);
    } catch (error) {
      throw withRemedies(error, model, plan.options);
    }
    this.origin = { from: 'training', part: plan.task.prefix, step: 0, checkpoint: undefined, trainer: this };
    model.remember(this.origin);
    inTraining.add(model);
  }

  /** Names of the parameters that keep their values: those that the option `freeze` names. */
  get frozen(): ReadonlySet<string> {
    return this.plan.frozen;
  }

  /** Steps taken: the device's weights are those after this many. */
  get stepsDone(): number {
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
   * `run` continues and first yields the steps that were taken but not yielded (`until: trainer.stepsDone` yields only those).
   * Throws TrainingError, with the step and the tensor, when a gradient is not finite: that step changes no weight, but the steps
   * before may have ruined the weights already. Throws OptionError when another `run` of this trainer is working on a step, or has
   * taken over since, and for a trainer without data.
   */
  async *run(options: StretchOptions = {}): AsyncGenerator<TrainStep, void, undefined> {
    const { signal, evaluate, until = Infinity } = checkOptions<StretchOptions, typeof STRETCH>('run', options, STRETCH);
    if (!this.data)
      throw new OptionError('run: this trainer has no data; pass data when it is made, or take steps with step(batch).');
    const last = Math.min(until, this.options.steps);
    this.assertFree();
    const self = Symbol();
    this.newest = self;
    this.busy = 'run';
    try {
      await this.begin(signal);
      for (let done = Math.min(this.stepsDone + 1, ...this.pending.keys()); done <= last; done++) {
        // A step that `step` has taken and reported.
        if (done <= this.stepsDone && !this.pending.has(done)) continue;
        const step = await this.oneStep(done, last, evaluate, signal);
        this.busy = undefined;
        yield step;
        this.assertFree();
        if (this.newest !== self) throw new OptionError('another run() of this trainer has begun since; continue with that one.');
        this.busy = 'run';
      }
    } finally {
      if (this.newest === self && this.busy === 'run') this.busy = undefined;
    }
  }

  /**
   * Takes one step on a batch of the caller's own, of `batchSize` images, instead of the trainer's data. It counts like a step of
   * `run`, which it may alternate with: the steps of `run` take the items that belong to their numbers, and random numbers depend on
   * those alone. The optimizer, the average of weights, clipping, `accumulate` and checkpoints are the same. The learning rate is that
   * of the schedule unless `lr` is given; beyond the last step of the run it must be.
   *
   * Batches are held in memory until `keep` or `resume` provides a newer state, in case the GPU device is lost; when they exceed 64 MiB
   * and the state, `keep` is called.
   *
   * Throws OptionError for a batch whose shapes or values do not fit, and while another step is under way; TrainingError as `run` does.
   * A refused batch changes nothing.
   */
  async step(batch: TrainBatch, options: StepOptions = {}): Promise<StepResult> {
    const { lr } = checkOptions<StepOptions, typeof STEP>('step', options, STEP);
    this.assertFree();
    this.busy = 'step';
    try {
      const { task, options: run } = this.plan;
      await this.begin();
      const values = await task.own('step', batch);
      if (values.count !== run.batchSize)
        throw new OptionError(
          `step: the batch has ${values.count} images, and batchSize of this trainer is ${run.batchSize}; give as many.`,
        );
      // Their loss may show that training has been ruined.
      for (const done of [...this.pending.keys()]) await this.soundFigures(done);
      const taken = this.stepsDone;
      if (lr === undefined && taken >= run.steps)
        throw new OptionError(
          `step: all ${run.steps} steps of the schedule are taken; give lr, or make a trainer with more steps.`,
        );
      const own = { values, lr: lr ?? rateOf(run, taken) };
      await this.attempt(() => this.take(own));
      const figures = await this.soundFigures(taken + 1);
      this.pending.delete(taken + 1);
      await this.boundOwn();
      return stepResult(taken + 1, own.lr, figures);
    } finally {
      this.busy = undefined;
    }
  }

  /** What comes before the first step: checks the data against the model, and starts the average at the weights as they are. */
  private async begin(signal?: AbortSignal): Promise<void> {
    if (this.averaged) throw new OptionError('training cannot go on inside withEma(); take steps before or afterwards.');
    if (this.busy === 'run' || !this.begun) {
      if (this.codes) await checkCodes(this.handle, this.codes);
      await this.identify();
      if (this.classRows) this.model.classes = [...this.classRows.names];
    }
    if (!this.begun) await assertFits(this.model, this.options);
    if (this.stepsDone === 0) await this.attempt(() => this.state.optimizer.resetEma(), signal);
    this.begun = true;
  }

  /** Throws OptionError while a step is under way, and DisposedError after `dispose`. */
  private assertFree(): void {
    if (this.disposed) throw new DisposedError('this Trainer');
    if (this.busy) throw new OptionError(`${this.busy}() of this trainer is under way; await its step before another begins.`);
  }

  /** Waits for step `done` and reports it, after submitting the one after it where that may start already. */
  private async oneStep(done: number, last: number, evaluate: boolean, signal: AbortSignal | undefined): Promise<TrainStep> {
    const since = performance.now();
    const { steps, evalEvery, evalItems, batchSize } = this.options;
    const evaluates = evaluatesAt(done, this.options);
    while (this.stepsDone < Math.min(evaluates ? done : done + 1, last)) {
      signal?.throwIfAborted();
      await this.attempt(() => this.take(), signal);
      if (!this.state.be.traits.asynchronous) await pause();
    }
    const figures = await this.soundFigures(done, signal);
    this.worked.ms += performance.now() - since;
    const seconds = this.worked.ms / 1000 / ++this.worked.steps;
    const perSecond = batchSize / seconds;
    const step: TrainStep = {
      ...stepResult(done, this.own.get(done - 1)?.lr ?? rateOf(this.options, done - 1), figures),
      steps,
      epoch: done / this.stepsPerEpoch,
      imagesPerSecond: perSecond,
      tokensPerSecond: perSecond * this.model.config.num_tokens,
      secondsLeft: seconds * (steps - done),
    };
    // Not after a step() since: the weights are not those of this step any more.
    const held = evaluate && evaluates && evalEvery > 0 && evalItems > 0 && this.stepsDone === done;
    if (held) step.eval = await this.evaluate({ signal });
    this.pending.delete(done);
    return step;
  }

  /** Submits the next step. */
  private async take(own?: OwnStep): Promise<void> {
    this.version++;
    this.stepping = true;
    try {
      const figures = await this.state.advance(this.stepsDone, own);
      if (own) this.own.set(this.stepsDone, own);
      this.pending.set(++this.origin.step, figures);
    } finally {
      this.stepping = false;
    }
  }

  /** The results of step `done`. Throws TrainingError if training cannot go on after it. */
  private async soundFigures(done: number, signal?: AbortSignal): Promise<Figures> {
    const figures = await this.attempt(() => this.pending.get(done)!(), signal);
    if (isRuined(figures)) await this.fail(done - 1, figures.metrics.loss!);
    return figures;
  }

  /** Keeps the batches of `step` from taking more memory than the state that makes them unnecessary. */
  private async boundOwn(): Promise<void> {
    if (!this.model.replaceable) return this.own.forget(this.stepsDone);
    if (this.own.exceeds(this.state.copyBytes)) await this.keep();
  }

  /** Floating-point operations of one step on the device. */
  get cost(): { flops: number } {
    return this.state.cost;
  }

  /**
   * Means of the metrics over the held-out images of the data, or over the images of `batch`, of which there may be any number.
   * Throws OptionError for a batch that does not fit, and where there is neither.
   */
  async evaluate(options: EvaluateOptions = {}): Promise<Record<string, number>> {
    const { signal, batch } = checkOptions<EvaluateOptions, typeof EVALUATE>('evaluate', options, EVALUATE);
    const values = batch && (await this.plan.task.own('evaluate', batch));
    if (values ? values.count === 0 : this.options.evalItems === 0)
      throw new OptionError('evaluate: there are no held-out images; give a batch of some.');
    const evaluate = () =>
      this.attempt(() => (values ? this.state.evaluateOwn(values, signal) : this.state.evaluate(signal)), signal);
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
   * Everything a checkpoint holds, after `stepsDone` steps. Tensors are read when they are written, so the checkpoint must be saved
   * before training goes on: afterwards reading them throws OptionError.
   */
  checkpoint(): CheckpointParts {
    const { model, options, stepsDone: step, version } = this;
    const assertCurrent = () => {
      if (this.version !== version || this.stepping || this.stepsDone !== step)
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
    if (this.codes) this.identity ??= identityOfCodes(this.codes);
    return checkpointParts({
      perceptual: this.plan.perceptual,
      model,
      options,
      step,
      classes: this.classRows?.names ?? model.classes,
      data: this.identity,
      device: this.state,
      current,
      values: (of) => current(() => this.attempt(async () => Float32Array.from(await this.state.be.read(of(this.state))))),
    });
  }

  /** Computes what identifies the data, once. For images this lists all files, so `run` and `resume` call it, and `checkpoint` does not. */
  private async identify(): Promise<DataIdentity | undefined> {
    const { data } = this;
    if (data) this.identity ??= 'codes' in data ? identityOfCodes(data) : await identityOfImages(data);
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
    const now = await this.identify();
    if (was && now) checkIdentity(was, now, dataChanged);
    checkRun(saved, this.plan, dataChanged);
    await this.attempt(() => this.state.load(saved));
    this.origin.checkpoint = saved;
    this.origin.step = saved.state.step;
    this.version++;
    this.pending.clear();
    this.own.forget(Infinity);
  }

  /**
   * Sets the state from which training continues after a lost GPU device: a checkpoint of this run, whose files must stay, or, without
   * an argument, a copy of everything in memory (12 bytes per trained parameter, 16 with an average of weights; no copy is made where
   * the library cannot replace the device). Until this is called, it is the state in which training began or was resumed.
   */
  async keep(saved?: SavedCheckpoint): Promise<void> {
    if (saved) checkRun(saved, this.plan, true);
    else if (!this.model.replaceable) return;
    const kept = saved ?? (await heldCheckpoint(this.checkpoint()));
    this.origin.checkpoint = kept;
    this.own.forget(kept.state.step);
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
      const figures = await state.advance(taken, this.own.get(taken));
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
      if (error instanceof DeviceError) throw withNewestState(error, this.origin.checkpoint);
      throw withRemedies(error, this.model, this.options);
    }
  }

  /** Finds out which gradients of the step after `step` are not finite, and throws. The step itself changed nothing. */
  private async fail(step: number, loss: number): Promise<never> {
    const culprits = await this.state.badGradients(step, this.own.get(step));
    this.own.delete(step);
    this.origin.step = Math.min(this.stepsDone, step);
    this.version++;
    this.pending.clear();
    throw diverged(step + 1, { culprits, loss, lr: this.options.lr });
  }
}
