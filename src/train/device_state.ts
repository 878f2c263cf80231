/** The state of training on one device, and the work on it. When the device is lost, another one is made on the next device. */
import type { Backend, Recording } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { packed } from '../model/arena.js';
import { fillSaved, type PlacedParam, type SavedTensors } from '../model/load.js';
import type { Model } from '../model/model.js';
import { init, param } from '../model/params.js';
import type { Placed } from '../model/placed.js';
import { columns } from '../ops/columns.js';
import { sliced, type Values } from './batch.js';
import { bringKernels } from './kernels.js';
import { Optimizer } from './optimizer.js';
import type { RunOptions } from './options.js';
import { type Order, spread } from './order.js';
import type { OwnStep } from './own_steps.js';
import { learningRate } from './schedule.js';
import type { BatchWork, Figured, Phase, PlacedTask, Task } from './task.js';

/** The parts of a run that do not depend on the device. */
export interface Run {
  readonly model: Model;
  readonly task: Task;
  /** Which items each step takes; undefined without data. */
  readonly order: Order | undefined;
  readonly options: RunOptions;
  /** Names of the task's parameters that keep their values. */
  readonly frozen: ReadonlySet<string>;
  /** The perceptual loss of a tokenizer; see `perceptualName`. */
  readonly perceptual: string;
}

/** The results of one step. */
export interface Figures {
  metrics: Record<string, number>;
  /** Global norm of the gradient before clipping. */
  gradNorm: number;
  /** The scale of the loss after the step, in mixed precision. */
  lossScale: number | undefined;
  /** A gradient beside the model's, such as a discriminator's, is not finite, and no smaller scale of its loss can help. */
  ruinedBeside: boolean;
}

/** True if an optimizer's gradient is not finite, and no smaller scale of its loss can help. */
export const isStuck = ({ gradNorm, lossScale }: Pick<Figures, 'gradNorm' | 'lossScale'>) =>
  !Number.isFinite(gradNorm) && (lossScale === undefined || lossScale < 1);

/** The learning rate of step `step`, counted from 0. */
export function rateOf({ schedule: kind, lr, steps, warmup }: RunOptions, step: number): number {
  return learningRate({ kind, lr, steps, warmup }, step);
}

export class DeviceState {
  readonly be: Backend;
  readonly optimizer: Optimizer;
  /** The task on this device, with what it keeps beside the model. */
  readonly task: PlacedTask;
  /** The task's parameters that keep their values. */
  readonly frozen: ReadonlyMap<string, PlacedParam>;
  /** Their gradients, which backward computes and nothing reads, and the allocations of these. */
  private readonly unused: { grads: readonly [string, Tensor][]; arenas: readonly Tensor[] };
  private readonly work: BatchWork;
  /** The phase of the steps that are recorded. */
  private phase: Phase = 'first';
  /** `gradient` adds that of a part of the batch: one recording for all parts, since each recording has memory of its own. */
  private recordings: Record<'zero' | 'gradient' | 'update', Recording>;

  constructor(
    on: Placed,
    private readonly run: Run,
  ) {
    const { be } = on;
    const { model, task, options } = run;
    this.be = be;
    bringKernels(be);
    const all = [...model.named(on, task.prefix)];
    this.frozen = new Map(all.filter(([name]) => run.frozen.has(name)));
    const { tensors, arenas } = packed(
      be,
      [...this.frozen.values()].map(({ tensor }) => tensor.shape),
    );
    this.unused = { grads: [...this.frozen.keys()].map((name, i) => [name, tensors[i]!]), arenas };
    const trained = all.filter(([name]) => !run.frozen.has(name));
    this.optimizer = new Optimizer(
      be,
      trained.map(([name, { spec, tensor }]) => ({ name, spec, param: tensor })),
      options,
    );
    this.task = task.place(on, this.optimizer, options);
    this.work = this.task.open(options.batchSize / options.accumulate);
    try {
      this.recordings = this.record();
    } catch (error) {
      this.disposeState();
      throw error;
    }
  }

  private record(): DeviceState['recordings'] {
    const { be, optimizer, work, task, phase } = this;
    const grads = new Map([...optimizer.slots.map((s) => [s.name, s.grad] as const), ...this.unused.grads]);
    const recorded = (work: () => void) => be.record(work).recording;
    return {
      zero: recorded(() => {
        optimizer.zeroGrad();
        for (const arena of this.unused.arenas) be.zero(arena);
        task.zeroGrad(phase);
      }),
      gradient: recorded(() => work.gradient(grads, optimizer.lossScale, phase)),
      update: recorded(() => {
        optimizer.update();
        task.update(phase);
      }),
    };
  }

  private disposeRecordings(): void {
    for (const recording of Object.values(this.recordings)) recording.dispose();
  }

  /** Records the step again, so that it uses launches that were tuned after it was recorded. */
  rerecord(): void {
    this.disposeRecordings();
    this.recordings = this.record();
  }

  /** Floating-point operations of one step. */
  get cost(): { flops: number } {
    const { gradient, update } = this.recordings;
    return { flops: this.run.options.accumulate * gradient.cost.flops + update.cost.flops };
  }

  /** Bytes of a copy of what is trained: weights, moments and their average. */
  get copyBytes(): number {
    const own = this.optimizer.slots.reduce((sum, { param, ema }) => sum + param.size * (ema ? 16 : 12), 0);
    return this.task.saved.reduce((sum, [, { tensor }]) => sum + 4 * tensor.size, own);
  }

  /** Submits step `step`, counted from 0, with the run's data or `own`. Returns a function that waits for its results. */
  async advance(step: number, own?: OwnStep): Promise<() => Promise<Figures>> {
    const { be, optimizer } = this;
    await this.gradients(step, own);
    const lr = own?.lr ?? rateOf(this.run.options, step);
    optimizer.prepare(step + 1, lr);
    this.task.prepare(step, lr);
    this.recordings.update.replay();
    // The reads are in order with the commands, so the next step does not change what they return.
    const { losses, others } = this.work.figures(this.phase);
    const beside = this.task.others(this.phase);
    const state = async ({ norm, lossScale }: Optimizer) => {
      const [[gradNorm], scale] = await Promise.all([be.read(norm), lossScale && be.read(lossScale)]);
      return { gradNorm: gradNorm!, lossScale: scale?.[0] };
    };
    const reads = Promise.all([
      this.read({ losses, others: { ...others, ...beside.figures } }),
      state(optimizer),
      ...beside.optimizers.map(state),
    ]);
    // A failure is reported to whoever awaits the results; if nobody does, it has no effect.
    reads.catch(() => {});
    return async () => {
      const [metrics, own, ...rest] = await reads;
      return { metrics, ...own, ruinedBeside: rest.some(isStuck) };
    };
  }

  /** Computes the mean gradient of a step's batch, one part after the other. */
  private async gradients(step: number, own: OwnStep | undefined): Promise<void> {
    const { order, options, task } = this.run;
    const { batchSize, accumulate, seed } = options;
    const phase = this.task.phase(step);
    if (phase !== this.phase) {
      this.phase = phase;
      this.rerecord();
    }
    const { zero, gradient } = this.recordings;
    await Promise.all(Object.values(this.recordings).map((recording) => recording.compile()));
    const size = batchSize / accumulate;
    const items = own ? undefined : order!.batch(step);
    zero.replay();
    for (let first = 0; first < batchSize; first += size) {
      const place = { seed, step, first };
      const values = own
        ? sliced(own.values, first, first + size)
        : await task.items(items!.subarray(first, first + size), place);
      this.work.load(values, place);
      gradient.replay();
    }
  }

  /** Names of the parameters whose gradient at step `step` is not finite. Computes the gradient again. */
  async badGradients(step: number, own?: OwnStep): Promise<string[]> {
    await this.gradients(step, own);
    const names: string[] = [];
    const all = [this.optimizer, ...this.task.others(this.phase).optimizers];
    for (const { name, grad } of all.flatMap(({ slots }) => slots)) {
      const values = await this.be.read(grad);
      if (!Array.prototype.every.call(values, Number.isFinite)) names.push(name);
    }
    return names;
  }

  /** Means of the metrics over the held-out images: the same ones each time, spread over all classes. Rejects with `signal.reason`. */
  async evaluate(signal?: AbortSignal): Promise<Record<string, number>> {
    const { task, options } = this.run;
    const labels = Uint32Array.from({ length: task.evalLength }, (_, i) => task.evalLabel(i));
    const items = spread(labels, options.evalItems);
    return this.means(items.length, (from, to) => task.evalItems(items.subarray(from, to)), signal);
  }

  /** Means of the metrics over the images of `values`. Rejects with `signal.reason` when aborted. */
  async evaluateOwn(values: Values, signal?: AbortSignal): Promise<Record<string, number>> {
    return this.means(values.count, async (from, to) => sliced(values, from, to), signal);
  }

  /** Means of the metrics over n images, of which `take` makes images `from` to `to` − 1. */
  private async means(
    n: number,
    take: (from: number, to: number) => Promise<Values>,
    signal: AbortSignal | undefined,
  ): Promise<Record<string, number>> {
    const { batchSize, accumulate } = this.run.options;
    const size = Math.min(n, batchSize / accumulate);
    const sums: Record<string, number> = {};
    const add = async (work: BatchWork, count: number) => {
      for (const [name, value] of Object.entries(await this.read(work.figures())))
        sums[name] = (sums[name] ?? 0) + (value * count) / n;
    };
    const { task } = this;
    const work = task.open(size);
    const { recording } = this.be.record(() => work.evaluate());
    try {
      let at = 0;
      for (; at + size <= n; at += size) {
        signal?.throwIfAborted();
        work.load(await take(at, at + size));
        recording.replay();
        await add(work, size);
      }
      if (at < n) {
        const rest = task.open(n - at);
        rest.load(await take(at, n));
        rest.evaluate();
        await add(rest, n - at);
        rest.dispose();
      }
    } finally {
      recording.dispose();
      work.dispose();
    }
    return sums;
  }

  private async read({ losses, others }: Figured): Promise<Record<string, number>> {
    const read = (tensors: Figured['losses']) =>
      Promise.all(Object.entries(tensors).map(async ([name, t]) => [name, (await this.be.read(t))[0]!] as const));
    const [figures, rest] = await Promise.all([read(losses), read(others)]);
    return { loss: figures.reduce((sum, [, v]) => sum + v, 0), ...Object.fromEntries([...figures, ...rest]) };
  }

  /** Reads the state beside the weights, and their average, from a checkpoint; the weights are on the device already. */
  async load(saved: SavedTensors): Promise<void> {
    const { be, optimizer } = this;
    const { slots, lossScale } = optimizer;
    const targets = new Map<string, PlacedParam>(
      slots.flatMap((s) => [
        [`m.${s.name}`, { spec: s.spec, tensor: s.m }],
        [`v.${s.name}`, { spec: s.spec, tensor: s.v }],
      ]),
    );
    for (const [name, placed] of this.task.saved) targets.set(name, placed);
    if (lossScale) targets.set('loss_scale', { spec: param([2], init.zeros), tensor: lossScale });
    await fillSaved(be, saved, 'optimizer', targets);
    if (this.run.options.emaDecay) {
      const averages = slots.map((s) => [s.name, { spec: s.spec, tensor: s.ema! }] as const);
      await fillSaved(be, saved, 'ema', new Map([...averages, ...this.frozen]));
    }
    await be.settle();
  }

  /** Exchanges the weights and their average. */
  exchangeAverage(): void {
    const { be, optimizer } = this;
    const flat = (t: Tensor) => be.reshape(t, [1, t.size]);
    const copy = (from: Tensor, to: Tensor) => be.run(columns.forward, { x: flat(from), y: flat(to) }, { offset: 0 });
    for (const { param, ema } of optimizer.slots) {
      const weights = be.tensor(param.shape);
      copy(param, weights);
      copy(ema!, param);
      copy(weights, ema!);
      be.free(weights);
    }
  }

  dispose(): void {
    this.disposeRecordings();
    this.disposeState();
  }

  private disposeState(): void {
    this.work.dispose();
    this.task.dispose();
    this.optimizer.dispose();
    this.be.free(...this.unused.arenas);
  }
}
