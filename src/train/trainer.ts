/** The training loop: batches, gradient accumulation, AdamW, evaluation, and what a checkpoint needs to go on exactly. */
import type { AiM } from '../aim.js';
import type { Backend, Recording, Tensor } from '../backend/backend.js';
import { type Codes, checkCodes } from '../data/codes.js';
import type { ImageSplits } from '../data/dataset.js';
import { CheckpointError, OptionError, TrainingError } from '../errors.js';
import { toCheckpoint, toDevice } from '../model/params.js';
import { columns } from '../ops/index.js';
import { pause } from '../platform/runtime.js';
import { type CheckpointParts, extraTensors, type NamedTensor, type SavedCheckpoint } from './folder.js';
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
  /** Of this run's steps so far, evaluations left out. */
  imagesPerSecond: number;
  /** imagesPerSecond × tokens per image. */
  tokensPerSecond: number;
  /** Seconds that the rest should take. */
  secondsLeft: number;
  /** Means over the held-out images, at evaluations; with an average of weights also its loss, `emaLoss`. */
  eval?: Readonly<Record<string, number>>;
}

export class Trainer {
  /** Steps taken: the device's weights are those after this many. */
  step = 0;
  readonly options: RunOptions;
  readonly stepsPerEpoch: number;
  private readonly be: Backend;
  private readonly task: Task;
  private readonly order: Order;
  private readonly optimizer: Optimizer;
  private readonly work: BatchWork;
  private readonly first: Recording;
  private readonly further: Recording | undefined;
  private readonly update: Recording;
  private readonly model: AiM;
  private readonly codes: Codes | undefined;
  private disposed = false;

  /** Throws OptionError for options out of range or data that does not fit the model. */
  constructor({ model, data, ...o }: TrainerOptions) {
    const isCodes = 'codes' in data;
    this.model = model;
    this.be = model.be;
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
    };
    this.check();
    const trained = [...model.named()].filter(([name]) => name.startsWith(this.task.prefix));
    this.optimizer = new Optimizer(
      this.be,
      trained.map(([name, { spec, tensor }]) => ({ name, spec, param: tensor })),
      this.options,
    );
    const { accumulate } = this.options;
    this.work = this.task.open(batchSize / accumulate);
    const grads = new Map(this.optimizer.slots.map((s) => [s.name, s.grad]));
    const gradient = () => this.work.gradient(grads);
    this.first = this.be.record(() => {
      this.optimizer.zeroGrad();
      gradient();
    }).recording;
    this.further = accumulate > 1 ? this.be.record(gradient).recording : undefined;
    this.update = this.be.record(() => this.optimizer.update()).recording;
  }

  /**
   * Trains to the last step, yielding each; the device works on the next meanwhile, except at evaluations. Leaving the loop or
   * aborting `signal` (which rejects with its reason) keeps everything: `run` again goes on. Throws TrainingError, with the
   * step and the tensor, when a gradient is not finite; the weights are then those before that step.
   */
  async *run({ signal }: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<TrainStep, void, undefined> {
    const { steps, evalEvery } = this.options;
    if (this.codes) await checkCodes(this.model, this.codes);
    if (this.step === 0) await this.optimizer.resetEma();
    const from = this.step;
    // Time at work, without evaluations and what the caller does between steps.
    let worked = 0;
    let since = performance.now();
    const clock = () => {
      const now = performance.now();
      worked += now - since;
      since = now;
      return worked / 1000;
    };
    let pending: (() => Promise<TrainStep>) | undefined;
    while (this.step < steps) {
      signal?.throwIfAborted();
      const finish = await this.take();
      const done = this.step;
      if (pending) {
        yield await pending();
        since = performance.now();
      }
      pending = async () => {
        const { metrics, gradNorm } = await finish();
        const seconds = clock() / (done - from);
        const perSecond = this.options.batchSize / seconds;
        return {
          step: done,
          steps,
          epoch: done / this.stepsPerEpoch,
          loss: metrics.loss!,
          metrics,
          lr: this.lr(done - 1),
          gradNorm,
          imagesPerSecond: perSecond,
          tokensPerSecond: perSecond * this.model.config.num_tokens,
          secondsLeft: seconds * (steps - done),
        };
      };
      if ((evalEvery > 0 && done % evalEvery === 0) || done === steps) {
        const last = await pending();
        pending = undefined;
        const evaluated = evalEvery > 0 && this.options.evalItems > 0 ? await this.evaluate({ signal }) : undefined;
        yield evaluated ? { ...last, eval: evaluated } : last;
        since = performance.now();
      }
      if (this.be.name !== 'webgpu') await pause();
    }
  }

  /** What a step asks of the device. */
  get cost(): { flops: number } {
    const parts = (this.options.accumulate - 1) * (this.further?.cost.flops ?? 0);
    return { flops: this.first.cost.flops + parts + this.update.cost.flops };
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
    this.swapEma();
    try {
      return await fn();
    } finally {
      this.swapEma();
    }
  }

  /** Everything a checkpoint holds, after `this.step` steps. Tensors are read when their turn comes. */
  checkpoint(): CheckpointParts {
    const read = (name: string, spec: Parameters<typeof toCheckpoint>[0], tensor: Tensor): NamedTensor => ({
      name,
      shape: spec.shape,
      data: async () => toCheckpoint(spec, Float32Array.from(await this.be.read(tensor))),
    });
    const { slots } = this.optimizer;
    return {
      config: this.model.config.json,
      classes: this.classes(),
      model: [
        ...[...this.model.named()].map(([name, { spec, tensor }]) => read(name, spec, tensor)),
        ...extraTensors(this.model.config),
      ],
      optimizer: slots.flatMap((s) => [read(`m.${s.name}`, s.spec, s.m), read(`v.${s.name}`, s.spec, s.v)]),
      ema: this.options.emaDecay ? slots.map((s) => read(s.name, s.spec, s.ema!)) : undefined,
      state: { step: this.step, options: this.options },
    };
  }

  /**
   * Continues a checkpoint whose weights `model` already holds: the optimizer's state, the average and the step.
   * Throws OptionError when this trainer's options differ from the run's, CheckpointError when a tensor does not fit.
   */
  async resume(saved: SavedCheckpoint): Promise<void> {
    const was = saved.state.options as RunOptions | undefined;
    if (!was) throw new CheckpointError(`${saved.path}: its state.json has no options; it is not a checkpoint of this trainer.`);
    for (const key of Object.keys(this.options) as (keyof RunOptions)[]) {
      if (JSON.stringify(was[key]) !== JSON.stringify(this.options[key]))
        throw new OptionError(
          `the run was trained with ${key} ${JSON.stringify(was[key])}, now it is ${JSON.stringify(this.options[key])}; ` +
            'resume with the same options, or begin a new run from its weights.',
        );
    }
    const { slots } = this.optimizer;
    const targets = new Map(
      slots.flatMap((s) => [
        [`m.${s.name}`, { spec: s.spec, tensor: s.m }],
        [`v.${s.name}`, { spec: s.spec, tensor: s.v }],
      ]),
    );
    await this.fill(saved, 'optimizer', targets);
    if (this.options.emaDecay)
      await this.fill(saved, 'ema', new Map(slots.map((s) => [s.name, { spec: s.spec, tensor: s.ema! }])));
    await this.be.settle();
    this.step = saved.state.step;
  }

  /** Frees what training needs; the model stays. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    for (const r of [this.first, this.further, this.update]) r?.dispose();
    this.work.dispose();
    this.optimizer.dispose();
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

  /** Submits one step; the function it resolves to waits for its figures. */
  private async take(): Promise<() => Promise<{ metrics: Record<string, number>; gradNorm: number }>> {
    const step = this.step;
    await this.gradients(step);
    this.optimizer.prepare(step + 1, this.lr(step));
    this.update.replay();
    this.step = step + 1;
    // The reads are ordered now, so the next step does not change what they give.
    const figures = this.figures(this.work);
    const norm = this.be.read(this.optimizer.norm);
    return async () => {
      const metrics = await figures;
      const gradNorm = (await norm)[0]!;
      if (!Number.isFinite(gradNorm) || !Number.isFinite(metrics.loss)) await this.fail(step, metrics.loss!);
      return { metrics, gradNorm };
    };
  }

  /** The mean gradient of a step's batch, part by part. */
  private async gradients(step: number): Promise<void> {
    const { batchSize, accumulate, seed } = this.options;
    const items = this.order.batch(step);
    const size = batchSize / accumulate;
    for (let part = 0; part < accumulate; part++) {
      await this.work.load(items.subarray(part * size, (part + 1) * size), { seed, step, first: part * size });
      (part === 0 ? this.first : this.further!).replay();
    }
  }

  private async figures(work: BatchWork): Promise<Record<string, number>> {
    const reads = Object.entries(work.metrics).map(async ([name, t]) => [name, (await this.be.read(t))[0]!] as const);
    const figures = await Promise.all(reads);
    return { loss: figures.reduce((sum, [, v]) => sum + v, 0), ...Object.fromEntries(figures) };
  }

  /** The update of a gradient that is not finite changes nothing; find out which tensor it was. */
  private async fail(step: number, loss: number): Promise<never> {
    await this.gradients(step);
    const culprits: string[] = [];
    for (const { name, grad } of this.optimizer.slots) {
      const values = await this.be.read(grad);
      if (!Array.prototype.every.call(values, Number.isFinite)) culprits.push(name);
    }
    this.step = Math.min(this.step, step);
    const where = culprits.length
      ? `the gradient of ${culprits[0]}${culprits.length > 1 ? ` (and ${culprits.length - 1} more)` : ''}`
      : 'the loss';
    throw new TrainingError(
      `step ${step + 1}: ${where} is not finite (loss ${loss}). The weights are those before this step; ` +
        'resume from the last checkpoint with a lower lr or a longer warm-up.',
    );
  }

  private async evaluateWeights(signal?: AbortSignal): Promise<Record<string, number>> {
    const { evalItems } = this.options;
    const size = Math.min(evalItems, this.options.batchSize);
    const sums: Record<string, number> = {};
    const add = async (work: BatchWork, n: number) => {
      for (const [name, value] of Object.entries(await this.figures(work)))
        sums[name] = (sums[name] ?? 0) + (value * n) / evalItems;
    };
    const range = (from: number, n: number) => Uint32Array.from({ length: n }, (_, i) => from + i);
    const work = this.task.open(size);
    const { recording } = this.be.record(() => work.evaluate());
    try {
      let at = 0;
      for (; at + size <= evalItems; at += size) {
        signal?.throwIfAborted();
        await work.loadEval(range(at, size));
        recording.replay();
        await add(work, size);
      }
      if (at < evalItems) {
        const rest = this.task.open(evalItems - at);
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
  }

  /** Exchanges weights and their average. */
  private swapEma(): void {
    const { be } = this;
    const flat = (t: Tensor) => be.reshape(t, [1, t.size]);
    const copy = (from: Tensor, to: Tensor) => be.run(columns.forward, { x: flat(from), y: flat(to) }, { offset: 0 });
    for (const { param, ema } of this.optimizer.slots) {
      const kept = be.tensor(param.shape);
      copy(param, kept);
      copy(ema!, param);
      copy(kept, ema!);
      be.free(kept);
    }
  }

  private async fill(
    saved: SavedCheckpoint,
    part: 'optimizer' | 'ema',
    targets: Map<string, { spec: Parameters<typeof toDevice>[0]; tensor: Tensor }>,
  ) {
    const missing = new Set(targets.keys());
    for await (const { name, shape, data } of saved.tensors(part)) {
      const target = targets.get(name);
      if (!target || shape.join() !== target.spec.shape.join())
        throw new CheckpointError(
          `${saved.path}/${part}.safetensors: ${name} [${shape.join(', ')}] does not belong to this model.`,
        );
      this.be.write(target.tensor, toDevice(target.spec, data));
      missing.delete(name);
    }
    if (missing.size)
      throw new CheckpointError(`${saved.path}/${part}.safetensors has no tensor ${[...missing][0]}; take another checkpoint.`);
  }

  private check(): void {
    const { batchSize, accumulate, schedule: kind, lr, steps, warmup, evalEvery, emaDecay, clipNorm, weightDecay } = this.options;
    checkSchedule({ kind, lr, steps, warmup });
    if (!Number.isInteger(accumulate) || accumulate < 1 || batchSize % accumulate)
      throw new OptionError(`accumulate is ${accumulate}; it must be a whole number that divides the batch of ${batchSize}.`);
    if (!Number.isInteger(evalEvery) || evalEvery < 0)
      throw new OptionError(`evalEvery is ${evalEvery}; it must be a whole number from 0.`);
    if (!(emaDecay >= 0 && emaDecay < 1)) throw new OptionError(`emaDecay is ${emaDecay}; it must be from 0 to below 1.`);
    if (!(clipNorm >= 0)) throw new OptionError(`clipNorm is ${clipNorm}; it must be at least 0 (0 clips nothing).`);
    if (!(weightDecay >= 0)) throw new OptionError(`weightDecay is ${weightDecay}; it must be at least 0.`);
  }
}
