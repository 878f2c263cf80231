/** The state of training on one device, and the work on it. When the device is lost, another one is made on the next device. */
import type { Backend, Recording } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
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
import type { BatchWork, Task } from './task.js';

/** The parts of a run that do not depend on the device. */
export interface Run {
  readonly model: Model;
  readonly task: Task;
  /** Which items each step takes; undefined without data. */
  readonly order: Order | undefined;
  readonly options: RunOptions;
}

/** The results of one step. */
export interface Figures {
  metrics: Record<string, number>;
  /** Global norm of the gradient before clipping. */
  gradNorm: number;
  /** The scale of the loss after the step, in mixed precision. */
  lossScale: number | undefined;
}

/** The learning rate of step `step`, counted from 0. */
export function rateOf({ schedule: kind, lr, steps, warmup }: RunOptions, step: number): number {
  return learningRate({ kind, lr, steps, warmup }, step);
}

export class DeviceState {
  readonly be: Backend;
  readonly optimizer: Optimizer;
  private readonly work: BatchWork;
  private recordings: { first: Recording; further: Recording | undefined; update: Recording };

  constructor(
    on: Placed,
    private readonly run: Run,
  ) {
    const { be } = on;
    const { model, task, options } = run;
    this.be = be;
    bringKernels(be);
    const trained = [...model.named(on, task.prefix)];
    this.optimizer = new Optimizer(
      be,
      trained.map(([name, { spec, tensor }]) => ({ name, spec, param: tensor })),
      options,
    );
    this.work = task.open(on, options.batchSize / options.accumulate);
    this.recordings = this.record();
  }

  private record(): DeviceState['recordings'] {
    const { be, optimizer, work } = this;
    const grads = new Map(optimizer.slots.map((s) => [s.name, s.grad]));
    const gradient = () => work.gradient(grads, optimizer.lossScale);
    return {
      first: be.record(() => {
        optimizer.zeroGrad();
        gradient();
      }).recording,
      further: this.run.options.accumulate > 1 ? be.record(gradient).recording : undefined,
      update: be.record(() => optimizer.update()).recording,
    };
  }

  private disposeRecordings(): void {
    const { first, further, update } = this.recordings;
    for (const recording of [first, further, update]) recording?.dispose();
  }

  /** Records the step again, so that it uses launches that were tuned after it was recorded. */
  rerecord(): void {
    this.disposeRecordings();
    this.recordings = this.record();
  }

  /** Floating-point operations of one step. */
  get cost(): { flops: number } {
    const { first, further, update } = this.recordings;
    const rest = (this.run.options.accumulate - 1) * (further?.cost.flops ?? 0);
    return { flops: first.cost.flops + rest + update.cost.flops };
  }

  /** Bytes of a copy of what is trained: weights, moments and their average. */
  get copyBytes(): number {
    return this.optimizer.slots.reduce((sum, { param, ema }) => sum + param.size * (ema ? 16 : 12), 0);
  }

  /** Submits step `step`, counted from 0, with the run's data or `own`. Returns a function that waits for its results. */
  async advance(step: number, own?: OwnStep): Promise<() => Promise<Figures>> {
    const { be, optimizer } = this;
    await this.gradients(step, own);
    optimizer.prepare(step + 1, own?.lr ?? rateOf(this.run.options, step));
    this.recordings.update.replay();
    // The reads are in order with the commands, so the next step does not change what they return.
    const { norm, lossScale } = optimizer;
    const reads = Promise.all([this.read(this.work), be.read(norm), lossScale && be.read(lossScale)]);
    // A failure is reported to whoever awaits the results; if nobody does, it has no effect.
    reads.catch(() => {});
    return async () => {
      const [metrics, [gradNorm], scale] = await reads;
      return { metrics, gradNorm: gradNorm!, lossScale: scale?.[0] };
    };
  }

  /** Computes the mean gradient of a step's batch, one part after the other. */
  private async gradients(step: number, own: OwnStep | undefined): Promise<void> {
    const { order, options, task } = this.run;
    const { batchSize, accumulate, seed } = options;
    const { first: begin, further } = this.recordings;
    const size = batchSize / accumulate;
    const items = own ? undefined : order!.batch(step);
    for (let first = 0; first < batchSize; first += size) {
      const place = { seed, step, first };
      const values = own
        ? sliced(own.values, first, first + size)
        : await task.items(items!.subarray(first, first + size), place);
      this.work.load(values, place);
      (first === 0 ? begin : further!).replay();
    }
  }

  /** Names of the parameters whose gradient at step `step` is not finite. Computes the gradient again. */
  async badGradients(step: number, own?: OwnStep): Promise<string[]> {
    await this.gradients(step, own);
    const names: string[] = [];
    for (const { name, grad } of this.optimizer.slots) {
      const values = await this.be.read(grad);
      if (!Array.prototype.every.call(values, Number.isFinite)) names.push(name);
    }
    return names;
  }

  /** Means of the metrics over the held-out images: the same ones each time, spread over all classes. Rejects with `signal.reason`. */
  async evaluate(on: Placed, signal?: AbortSignal): Promise<Record<string, number>> {
    const { task, options } = this.run;
    const labels = Uint32Array.from({ length: task.evalLength }, (_, i) => task.evalLabel(i));
    const items = spread(labels, options.evalItems);
    return this.means(on, items.length, (from, to) => task.evalItems(items.subarray(from, to)), signal);
  }

  /** Means of the metrics over the images of `values`. Rejects with `signal.reason` when aborted. */
  async evaluateOwn(on: Placed, values: Values, signal?: AbortSignal): Promise<Record<string, number>> {
    return this.means(on, values.count, async (from, to) => sliced(values, from, to), signal);
  }

  /** Means of the metrics over n images, of which `take` makes images `from` to `to` − 1. */
  private async means(
    on: Placed,
    n: number,
    take: (from: number, to: number) => Promise<Values>,
    signal: AbortSignal | undefined,
  ): Promise<Record<string, number>> {
    const size = Math.min(n, this.run.options.batchSize);
    const sums: Record<string, number> = {};
    const add = async (work: BatchWork, count: number) => {
      for (const [name, value] of Object.entries(await this.read(work))) sums[name] = (sums[name] ?? 0) + (value * count) / n;
    };
    const { task } = this.run;
    const work = task.open(on, size);
    const { recording } = on.be.record(() => work.evaluate());
    try {
      let at = 0;
      for (; at + size <= n; at += size) {
        signal?.throwIfAborted();
        work.load(await take(at, at + size));
        recording.replay();
        await add(work, size);
      }
      if (at < n) {
        const rest = task.open(on, n - at);
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

  private async read(work: BatchWork): Promise<Record<string, number>> {
    const reads = Object.entries(work.metrics).map(async ([name, t]) => [name, (await this.be.read(t))[0]!] as const);
    const figures = await Promise.all(reads);
    return { loss: figures.reduce((sum, [, v]) => sum + v, 0), ...Object.fromEntries(figures) };
  }

  /** Reads the optimizer's state and the average of weights from a checkpoint; the weights are on the device already. */
  async load(saved: SavedTensors): Promise<void> {
    const { be, optimizer } = this;
    const { slots, lossScale } = optimizer;
    const targets = new Map<string, PlacedParam>(
      slots.flatMap((s) => [
        [`m.${s.name}`, { spec: s.spec, tensor: s.m }],
        [`v.${s.name}`, { spec: s.spec, tensor: s.v }],
      ]),
    );
    if (lossScale) targets.set('loss_scale', { spec: param([2], init.zeros), tensor: lossScale });
    await fillSaved(be, saved, 'optimizer', targets);
    if (this.run.options.emaDecay)
      await fillSaved(be, saved, 'ema', new Map(slots.map((s) => [s.name, { spec: s.spec, tensor: s.ema! }])));
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
    this.work.dispose();
    this.optimizer.dispose();
  }
}
