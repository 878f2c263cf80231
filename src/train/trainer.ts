/** The training loop: batches, gradient accumulation, AdamW, evaluation, and what a checkpoint needs to go on exactly. */
import type { AiM, Placed, Restore, TuneOptions } from '../aim.js';
import type { Backend, Recording } from '../backend/backend.js';
import type { TunedKernel } from '../backend/tune.js';
import { CheckpointError, DeviceError, OptionError, TrainingError } from '../core/errors.js';
import type { Tensor } from '../core/tensor.js';
import { type Codes, checkCodes } from '../data/codes.js';
import type { ImageSplits } from '../data/dataset.js';
import { init, type ParamSpec, param, toCheckpoint, toDevice } from '../model/params.js';
import { columns } from '../ops/index.js';
import { pause } from '../platform/runtime.js';
import { type CheckpointParts, extraTensors, heldCheckpoint, type NamedTensor, type SavedCheckpoint } from './folder.js';
import { bringKernels } from './kernels.js';
import { Optimizer, type OptimizerOptions } from './optimizer.js';
import { Order } from './order.js';
import { checkSchedule, learningRate, type Schedule } from './schedule.js';
import { type BatchWork, modelTask, type Stage, type Task, tokenizerTask } from './task.js';

export interface TrainerOptions extends OptimizerOptions {
  /** The model to train, in place; a fresh one (AiM.fromConfig) or a checkpoint to fine-tune. */
  model: AiM;
  /** Codes train stage 2, images the tokenizer. */
  data: Codes | ImageSplits;
  /** Images per step. Default 32. */
  batchSize?: number;
  /** Parts that a step's batch is cut into, to save memory; must divide it. Default 1. */
  accumulate?: number;
  /** Passes over the data. Default 1. */
  epochs?: number;
  /** Steps in all, instead of epochs. */
  steps?: number;
  /** Highest learning rate. Default 1e-4 · batchSize / 256 for the model (paper), 1e-4 for the tokenizer. */
  lr?: number;
  /** Default 'linear' (to zero) for the model, 'constant' for the tokenizer. */
  schedule?: Schedule['kind'];
  /** Steps of warm-up. Default 0. */
  warmup?: number;
  /** Order of the data, dropped labels and crops. Default 0. */
  seed?: number;
  /** Share of labels made unconditional (stage 2). Default 0.1. */
  labelDropout?: number;
  /** Evaluate after every so many steps and at the end; 0 never. Default: every epoch. */
  evalEvery?: number;
  /** Held-out images to evaluate on. Default all. */
  evalItems?: number;
}

/** The options that a resumed run must share with the one it continues. */
export type RunOptions = Required<Omit<TrainerOptions, 'model' | 'data' | 'epochs'>> & { stage: Stage };

export interface TrainStep {
  /** Steps done, from 1. */
  step: number;
  steps: number;
  epoch: number;
  /** What is minimised, on the step's batch: cross-entropy in nats per token, or the tokenizer's sum of losses. */
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
  /** Of this run's steps so far, evaluations left out. */
  imagesPerSecond: number;
  /** imagesPerSecond × tokens per image. */
  tokensPerSecond: number;
  /** Seconds that the rest should take. */
  secondsLeft: number;
  /** Means over the held-out images, at evaluations; with an average of weights also its loss, `emaLoss`. */
  eval?: Readonly<Record<string, number>>;
}

/** Not large, since products scale gradients by the rows they are a mean over, too (shaders/lib/gradient_scale.wgsl). */
const LOSS_SCALE = 1024;

/** What training keeps on the device. */
interface Workings {
  readonly be: Backend;
  readonly optimizer: Optimizer;
  readonly work: BatchWork;
  readonly first: Recording;
  readonly further: Recording | undefined;
  readonly update: Recording;
}

/** Whether a step is told of only once nothing comes after it: it ends with an evaluation, or the run with it. */
export const evaluatesAt = (step: number, { steps, evalEvery }: Pick<RunOptions, 'steps' | 'evalEvery'>) =>
  (evalEvery > 0 && step % evalEvery === 0) || step === steps;

/** Waits for what a step gave. */
type Figures = () => Promise<{ metrics: Record<string, number>; gradNorm: number; lossScale: number | undefined }>;

/**
 * Trains a model in place. Should the GPU device be lost, training goes on by itself on a new one: from the state that `keep`
 * or `resume` was given last (or from the beginning) it takes the steps since once more. Batches and random numbers depend on
 * the step alone, so the weights are the same as without the loss, bit for bit, and no step is reported twice.
 */
export class Trainer {
  /** Steps taken: the device's weights are those after this many. */
  step = 0;
  readonly options: RunOptions;
  readonly stepsPerEpoch: number;
  private readonly task: Task;
  private readonly order: Order;
  private readonly model: AiM;
  private readonly codes: Codes | undefined;
  private at: Workings;
  /** Of the newest steps taken: those whose figures `run` has not told. */
  private readonly figures = new Map<number, Figures>();
  /** What the steps told so far took, without evaluations and what the caller does between steps. */
  private readonly worked = { steps: 0, ms: 0 };
  /** Whether the average of weights is in the model's place. */
  private swapped = false;
  /** Where a lost device sets training back to; undefined: the beginning, as `begin` brings it about. */
  private point: SavedCheckpoint | undefined;
  private readonly begin: Restore | undefined;
  /** What becomes of the weights on a lost device once training is over. */
  private after: Restore | undefined;
  private disposed = false;

  /** Throws OptionError for options out of range or data that does not fit the model. */
  constructor({ model, data, ...o }: TrainerOptions) {
    const isCodes = 'codes' in data;
    this.model = model;
    model.widen();
    this.codes = isCodes ? data : undefined;
    const labelDropout = o.labelDropout ?? 0.1;
    this.task = isCodes ? modelTask(model, data, labelDropout) : tokenizerTask(model, data);
    const { stage } = this.task;
    const batchSize = o.batchSize ?? 32;
    const seed = o.seed ?? 0;
    this.order = new Order({ length: this.task.length, batchSize, seed });
    this.stepsPerEpoch = this.order.stepsPerEpoch;
    if (o.epochs !== undefined && o.steps !== undefined)
      throw new OptionError('epochs and steps are both given; give one of them.');
    const steps = o.steps ?? Math.round((o.epochs ?? 1) * this.stepsPerEpoch);
    this.options = {
      stage,
      batchSize,
      accumulate: o.accumulate ?? 1,
      steps,
      lr: o.lr ?? (stage === 'model' ? (1e-4 * batchSize) / 256 : 1e-4),
      schedule: o.schedule ?? (stage === 'model' ? 'linear' : 'constant'),
      warmup: o.warmup ?? 0,
      seed,
      labelDropout,
      evalEvery: o.evalEvery ?? this.stepsPerEpoch,
      evalItems: Math.min(o.evalItems ?? Number.MAX_SAFE_INTEGER, this.task.evalLength),
      betas: o.betas ?? [0.9, 0.95],
      eps: o.eps ?? 1e-8,
      weightDecay: o.weightDecay ?? 0.05,
      clipNorm: o.clipNorm ?? 1,
      emaDecay: o.emaDecay ?? 0,
      lossScale: o.lossScale ?? (model.be.traits.roundsProducts ? LOSS_SCALE : 0),
    };
    this.check();
    this.at = this.open(model.on);
    this.begin = model.restore;
    if (this.begin) model.restore = this.restore;
  }

  private open(on: Placed): Workings {
    const { be } = on;
    bringKernels(be);
    const trained = [...this.model.named(on)].filter(([name]) => name.startsWith(this.task.prefix));
    const optimizer = new Optimizer(
      be,
      trained.map(([name, { spec, tensor }]) => ({ name, spec, param: tensor })),
      this.options,
    );
    const { accumulate, batchSize } = this.options;
    const work = this.task.open(on, batchSize / accumulate);
    return { be, optimizer, work, ...this.record(be, optimizer, work) };
  }

  private record(be: Backend, optimizer: Optimizer, work: BatchWork): Pick<Workings, 'first' | 'further' | 'update'> {
    const grads = new Map(optimizer.slots.map((s) => [s.name, s.grad]));
    const gradient = () => work.gradient(grads, optimizer.lossScale);
    return {
      first: be.record(() => {
        optimizer.zeroGrad();
        gradient();
      }).recording,
      further: this.options.accumulate > 1 ? be.record(gradient).recording : undefined,
      update: be.record(() => optimizer.update()).recording,
    };
  }

  /** Finds the fastest launches of this training's kernels on this GPU and takes them; see `AiM.tune`. */
  async tune(options: Pick<TuneOptions, 'onProgress' | 'signal'> = {}): Promise<TunedKernel[]> {
    return this.attempt(async () => {
      const tuned = await this.model.tuneAsked(options);
      const { at } = this;
      for (const r of [at.first, at.further, at.update]) r?.dispose();
      this.at = { ...at, ...this.record(at.be, at.optimizer, at.work) };
      return tuned;
    }, options.signal);
  }

  /**
   * Trains to the last step, or to step `until`, yielding each; the device works on the next meanwhile, except at evaluations.
   * Leaving the loop or aborting `signal` (which rejects with its reason) keeps everything: `run` again goes on, beginning with
   * steps taken but not yielded yet (`until: trainer.step` yields those alone). Throws TrainingError, with the step and the
   * tensor, when a gradient is not finite; the weights are then those before that step.
   */
  async *run({
    signal,
    until = this.options.steps,
  }: {
    signal?: AbortSignal | undefined;
    until?: number;
  } = {}): AsyncGenerator<TrainStep, void, undefined> {
    const { steps, evalEvery } = this.options;
    const last = Math.min(until, steps);
    if (this.codes) await checkCodes(this.model, this.codes);
    if (this.step === 0) await this.attempt(() => this.at.optimizer.resetEma(), signal);
    let since = performance.now();
    for (let done = this.step - this.figures.size + 1; done <= last; done++) {
      const evaluates = evaluatesAt(done, this.options);
      while (this.step < Math.min(evaluates ? done : done + 1, last)) {
        signal?.throwIfAborted();
        await this.attempt(() => this.take(), signal);
        if (!this.at.be.traits.asynchronous) await pause();
      }
      const { metrics, gradNorm, lossScale } = await this.attempt(() => this.figures.get(done)!(), signal);
      const skipped = !Number.isFinite(gradNorm);
      const hopeless = lossScale === undefined || lossScale < 1;
      if (!Number.isFinite(metrics.loss) || (skipped && hopeless)) await this.fail(done - 1, metrics.loss!);
      this.worked.ms += performance.now() - since;
      const seconds = this.worked.ms / 1000 / ++this.worked.steps;
      const perSecond = this.options.batchSize / seconds;
      const told: TrainStep = {
        step: done,
        steps,
        epoch: done / this.stepsPerEpoch,
        loss: metrics.loss!,
        metrics,
        lr: this.lr(done - 1),
        gradNorm,
        ...(lossScale !== undefined && { lossScale }),
        ...(skipped && { skipped }),
        imagesPerSecond: perSecond,
        tokensPerSecond: perSecond * this.model.config.num_tokens,
        secondsLeft: seconds * (steps - done),
      };
      if (evaluates && evalEvery > 0 && this.options.evalItems > 0) told.eval = await this.evaluate({ signal });
      this.figures.delete(done);
      yield told;
      since = performance.now();
    }
  }

  /** What a step asks of the device. */
  get cost(): { flops: number } {
    const { first, further, update } = this.at;
    const parts = (this.options.accumulate - 1) * (further?.cost.flops ?? 0);
    return { flops: first.cost.flops + parts + update.cost.flops };
  }

  /** Means of the metrics over the held-out images. */
  async evaluate({ signal }: { signal?: AbortSignal | undefined } = {}): Promise<Record<string, number>> {
    const plain = await this.evaluateWeights(signal);
    if (!this.options.emaDecay) return plain;
    const { loss } = await this.withEma(() => this.evaluateWeights(signal));
    return { ...plain, emaLoss: loss! };
  }

  /** Runs `fn` with the average of weights in the model's place (with the weights themselves when none is kept). */
  async withEma<R>(fn: () => Promise<R>): Promise<R> {
    if (!this.options.emaDecay) return fn();
    await this.attempt(async () => this.swapEma());
    try {
      return await fn();
    } finally {
      await this.attempt(async () => this.swapEma());
    }
  }

  /** Everything a checkpoint holds, after `this.step` steps. Tensors are read when their turn comes. */
  checkpoint(): CheckpointParts {
    type Slot = Optimizer['slots'][number];
    const slot = (prefix: string, which: (s: Slot) => Tensor) => (s: Slot, i: number) => ({
      name: `${prefix}${s.name}`,
      shape: s.spec.shape,
      // Its tensors are looked up when they are read, for those of now may be lost till then.
      data: async () => {
        const read = () => this.at.be.read(which(this.at.optimizer.slots[i]!));
        return toCheckpoint(s.spec, Float32Array.from(await this.attempt(read)));
      },
    });
    const { slots } = this.at.optimizer;
    return {
      config: this.model.config.json,
      classes: this.classes(),
      model: [
        ...[...this.model.named()].map(
          ([name, { spec }]): NamedTensor => ({
            name,
            shape: spec.shape,
            data: async () => toCheckpoint(spec, await this.model.read(name)),
          }),
        ),
        ...extraTensors(this.model.config),
      ],
      optimizer: [
        ...slots.map(slot('m.', (s) => s.m)),
        ...slots.map(slot('v.', (s) => s.v)),
        ...(this.options.lossScale
          ? [
              {
                name: 'loss_scale',
                shape: [2],
                data: async () => Float32Array.from(await this.attempt(() => this.at.be.read(this.at.optimizer.lossScale!))),
              },
            ]
          : []),
      ],
      ema: this.options.emaDecay ? slots.map(slot('', (s) => s.ema!)) : undefined,
      state: { step: this.step, options: this.options },
    };
  }

  /**
   * Continues a checkpoint whose weights `model` already holds: the optimizer's state, the average and the step.
   * Throws OptionError when this trainer's options differ from the run's, CheckpointError when a tensor does not fit.
   */
  async resume(saved: SavedCheckpoint): Promise<void> {
    this.checkRun(saved);
    await this.attempt(() => this.loadState(this.at, saved));
    this.point = saved;
    this.step = saved.state.step;
    this.figures.clear();
  }

  /**
   * Sets where a lost GPU device sets training back to: a checkpoint of this run, whose files must stay, or, without one, a copy
   * of everything in memory (12 bytes per parameter trained, 16 with an average of weights; none where the device is not the
   * library's to replace). Until it is called this is where training began or was resumed.
   */
  async keep(saved?: SavedCheckpoint): Promise<void> {
    if (saved) this.checkRun(saved);
    else if (!this.begin) return;
    this.point = saved ?? (await heldCheckpoint(this.checkpoint()));
  }

  /** Frees what training needs; the model stays. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    const { at, model, begin, point, step } = this;
    for (const r of [at.first, at.further, at.update]) r?.dispose();
    at.work.dispose();
    at.optimizer.dispose();
    if (!begin) return;
    this.after = async (on, signal) => {
      if (step === 0) {
        await begin(on, signal);
        return model.widen(on);
      }
      model.widen(on);
      if (point?.state.step === step) return fill(on.be, point, 'model', model.named(on));
      throw new CheckpointError('its weights were trained here and went with the device; load the checkpoint saved last.');
    };
    if (model.restore === this.restore) model.restore = this.after;
  }

  /** Everything as it was, on a new device: the state at `point`, then the steps since. */
  private readonly restore: Restore = async (on, signal) => {
    if (this.after) return this.after(on, signal);
    const { point } = this;
    if (!point) await this.begin!(on, signal);
    this.model.widen(on);
    if (point) await fill(on.be, point, 'model', this.model.named(on));
    const at = this.open(on);
    if (point) await this.loadState(at, point);
    else await at.optimizer.resetEma();
    this.at = at;
    let before: Figures | undefined;
    for (let step = point?.state.step ?? 0; step < this.step; step++) {
      signal?.throwIfAborted();
      const figures = await this.advance(step);
      if (this.figures.has(step + 1)) this.figures.set(step + 1, figures);
      // Not further ahead than training is.
      await before?.();
      before = figures;
    }
    await at.be.settle();
    if (this.swapped) this.exchange();
  };

  /** Work on the device, again when that was lost; an error tells what there is to go on from. */
  private async attempt<R>(work: (on: Placed) => Promise<R>, signal?: AbortSignal): Promise<R> {
    try {
      return await this.model.attempt(work, signal);
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error;
      const kept = this.point
        ? `The newest state known is of step ${this.point.state.step}: ${this.point.path}.`
        : 'No checkpoint of this run is known.';
      throw new DeviceError(`${error.message} ${kept}`, { cause: error });
    }
  }

  private checkRun(saved: SavedCheckpoint): void {
    const was = saved.state.options as RunOptions | undefined;
    if (!was) throw new CheckpointError(`${saved.path}: its state.json has no options; it is not a checkpoint of this trainer.`);
    for (const key of Object.keys(this.options) as (keyof RunOptions)[]) {
      if (JSON.stringify(was[key]) !== JSON.stringify(this.options[key]))
        throw new OptionError(
          `the run was trained with ${key} ${JSON.stringify(was[key])}, now it is ${JSON.stringify(this.options[key])}; ` +
            'resume with the same options, or begin a new run from its weights.',
        );
    }
  }

  /** The optimizer's state and the average; the weights are there. */
  private async loadState({ be, optimizer: { slots, lossScale } }: Workings, saved: SavedCheckpoint): Promise<void> {
    const targets = new Map<string, { spec: ParamSpec; tensor: Tensor }>(
      slots.flatMap((s) => [
        [`m.${s.name}`, { spec: s.spec, tensor: s.m }],
        [`v.${s.name}`, { spec: s.spec, tensor: s.v }],
      ]),
    );
    if (lossScale) targets.set('loss_scale', { spec: param([2], init.zeros), tensor: lossScale });
    await fill(be, saved, 'optimizer', targets);
    if (this.options.emaDecay)
      await fill(be, saved, 'ema', new Map(slots.map((s) => [s.name, { spec: s.spec, tensor: s.ema! }])));
    await be.settle();
  }

  /** A name for each class of the model, of which the data may have fewer. */
  private classes(): string[] | undefined {
    const { classes, config } = this.model;
    const own = this.codes?.classes ?? classes;
    return own && Array.from({ length: config.num_classes }, (_, k) => own[k] ?? classes?.[k] ?? String(k));
  }

  private lr(step: number): number {
    const { schedule: kind, lr, steps, warmup } = this.options;
    return learningRate({ kind, lr, steps, warmup }, step);
  }

  /** Takes the next step, as far as submitting it. */
  private async take(): Promise<void> {
    const figures = await this.advance(this.step);
    this.figures.set(++this.step, figures);
  }

  private async advance(step: number): Promise<Figures> {
    const { be, optimizer, update, work } = this.at;
    await this.gradients(step);
    optimizer.prepare(step + 1, this.lr(step));
    update.replay();
    // The reads are ordered now, so the next step does not change what they give.
    const { norm, lossScale } = optimizer;
    const reads = Promise.all([this.read(work), be.read(norm), lossScale && be.read(lossScale)]);
    // Whoever asks hears of a failure; should nobody ask, it is no matter.
    reads.catch(() => {});
    return async () => {
      const [metrics, [gradNorm], scale] = await reads;
      return { metrics, gradNorm: gradNorm!, lossScale: scale?.[0] };
    };
  }

  /** The mean gradient of a step's batch, part by part. */
  private async gradients(step: number): Promise<void> {
    const { batchSize, accumulate, seed } = this.options;
    const { work, first, further } = this.at;
    const items = this.order.batch(step);
    const size = batchSize / accumulate;
    for (let part = 0; part < accumulate; part++) {
      await work.load(items.subarray(part * size, (part + 1) * size), { seed, step, first: part * size });
      (part === 0 ? first : further!).replay();
    }
  }

  private async read(work: BatchWork): Promise<Record<string, number>> {
    const { be } = this.at;
    const reads = Object.entries(work.metrics).map(async ([name, t]) => [name, (await be.read(t))[0]!] as const);
    const figures = await Promise.all(reads);
    return { loss: figures.reduce((sum, [, v]) => sum + v, 0), ...Object.fromEntries(figures) };
  }

  /** The update of a gradient that is not finite changes nothing; find out which tensor it was. */
  private async fail(step: number, loss: number): Promise<never> {
    await this.gradients(step);
    const culprits: string[] = [];
    for (const { name, grad } of this.at.optimizer.slots) {
      const values = await this.at.be.read(grad);
      if (!Array.prototype.every.call(values, Number.isFinite)) culprits.push(name);
    }
    this.step = Math.min(this.step, step);
    this.figures.clear();
    const where = culprits.length
      ? `the gradient of ${culprits[0]}${culprits.length > 1 ? ` (and ${culprits.length - 1} more)` : ''}`
      : 'the loss';
    throw new TrainingError(
      `step ${step + 1}: ${where} is not finite (loss ${loss}). The weights are those before this step; ` +
        'resume from the last checkpoint with a lower lr or a longer warm-up.',
    );
  }

  private evaluateWeights(signal?: AbortSignal): Promise<Record<string, number>> {
    const { evalItems, batchSize } = this.options;
    const size = Math.min(evalItems, batchSize);
    const range = (from: number, n: number) => Uint32Array.from({ length: n }, (_, i) => from + i);
    return this.attempt(async (on) => {
      const sums: Record<string, number> = {};
      const add = async (work: BatchWork, n: number) => {
        for (const [name, value] of Object.entries(await this.read(work)))
          sums[name] = (sums[name] ?? 0) + (value * n) / evalItems;
      };
      const work = this.task.open(on, size);
      const { recording } = on.be.record(() => work.evaluate());
      try {
        let at = 0;
        for (; at + size <= evalItems; at += size) {
          signal?.throwIfAborted();
          await work.loadEval(range(at, size));
          recording.replay();
          await add(work, size);
        }
        if (at < evalItems) {
          const rest = this.task.open(on, evalItems - at);
          await rest.loadEval(range(at, evalItems - at));
          rest.evaluate();
          await add(rest, evalItems - at);
          rest.dispose();
        }
      } finally {
        recording.dispose();
        work.dispose();
      }
      return sums;
    }, signal);
  }

  private swapEma(): void {
    this.exchange();
    this.swapped = !this.swapped;
  }

  /** Exchanges weights and their average. */
  private exchange(): void {
    const { be, optimizer } = this.at;
    const flat = (t: Tensor) => be.reshape(t, [1, t.size]);
    const copy = (from: Tensor, to: Tensor) => be.run(columns.forward, { x: flat(from), y: flat(to) }, { offset: 0 });
    for (const { param, ema } of optimizer.slots) {
      const kept = be.tensor(param.shape);
      copy(param, kept);
      copy(ema!, param);
      copy(kept, ema!);
      be.free(kept);
    }
  }

  private check(): void {
    const { batchSize, accumulate, schedule: kind, lr, steps, warmup, evalEvery, emaDecay, clipNorm, weightDecay } = this.options;
    checkSchedule({ kind, lr, steps, warmup });
    if (!Number.isInteger(accumulate) || accumulate < 1 || batchSize % accumulate)
      throw new OptionError(`accumulate is ${accumulate}; it must be a whole number that divides the batch of ${batchSize}.`);
    if (!Number.isInteger(evalEvery) || evalEvery < 0)
      throw new OptionError(`evalEvery is ${evalEvery}; it must be a whole number from 0.`);
    const { lossScale } = this.options;
    if (!(lossScale === 0 || (lossScale >= 1 && Number.isFinite(lossScale))))
      throw new OptionError(`lossScale is ${lossScale}; it must be at least 1, or 0 for none.`);
    if (!(emaDecay >= 0 && emaDecay < 1)) throw new OptionError(`emaDecay is ${emaDecay}; it must be from 0 to below 1.`);
    if (!(clipNorm >= 0)) throw new OptionError(`clipNorm is ${clipNorm}; it must be at least 0 (0 clips nothing).`);
    if (!(weightDecay >= 0)) throw new OptionError(`weightDecay is ${weightDecay}; it must be at least 0.`);
  }
}

/** Puts a part of a checkpoint on the device. */
async function fill(
  be: Backend,
  saved: SavedCheckpoint,
  part: 'model' | 'optimizer' | 'ema',
  targets: ReadonlyMap<string, { spec: ParamSpec; tensor: Tensor }>,
): Promise<void> {
  const missing = new Set(targets.keys());
  for await (const { name, shape, data } of saved.tensors(part)) {
    const target = targets.get(name);
    // The model's file also has what only the authors' loading asks for.
    if (!target && part === 'model') continue;
    if (!target || shape.join() !== target.spec.shape.join())
      throw new CheckpointError(
        `${saved.path}/${part}.safetensors: ${name} [${shape.join(', ')}] does not belong to this model.`,
      );
    be.write(target.tensor, toDevice(target.spec, data));
    missing.delete(name);
  }
  if (missing.size)
    throw new CheckpointError(`${saved.path}/${part}.safetensors has no tensor ${[...missing][0]}; take another checkpoint.`);
}
