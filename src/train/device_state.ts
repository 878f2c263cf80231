/** The state of training on one device, and the work on it. When the device is lost, another one is made on the next device. */
import type { Backend, Recording } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { fillSaved, type PlacedParam, type SavedTensors } from '../model/load.js';
import type { Model } from '../model/model.js';
import { init, param } from '../model/params.js';
import type { Placed } from '../model/placed.js';
import { columns } from '../ops/columns.js';
import { bringKernels } from './kernels.js';
import { Optimizer } from './optimizer.js';
import type { RunOptions } from './options.js';
import { type Order, spread } from './order.js';
import { learningRate } from './schedule.js';
import type { BatchWork, Task } from './task.js';

/** The parts of a run that do not depend on the device. */
export interface Run {
  readonly model: Model;
  readonly task: Task;
  readonly order: Order;
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

  /** Submits step `step`, counted from 0. Returns a function that waits for its results. */
  async advance(step: number): Promise<() => Promise<Figures>> {
    const { be, optimizer } = this;
    await this.gradients(step);
    optimizer.prepare(step + 1, rateOf(this.run.options, step));
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
  private async gradients(step: number): Promise<void> {
    const { order, options } = this.run;
    const { batchSize, accumulate, seed } = options;
    const { first, further } = this.recordings;
    const items = order.batch(step);
    const size = batchSize / accumulate;
    for (let part = 0; part < accumulate; part++) {
      await this.work.load(items.subarray(part * size, (part + 1) * size), { seed, step, first: part * size });
      (part === 0 ? first : further!).replay();
    }
  }

  /** Names of the parameters whose gradient at step `step` is not finite. Computes the gradient again. */
  async badGradients(step: number): Promise<string[]> {
    await this.gradients(step);
    const names: string[] = [];
    for (const { name, grad } of this.optimizer.slots) {
      const values = await this.be.read(grad);
      if (!Array.prototype.every.call(values, Number.isFinite)) names.push(name);
    }
    return names;
  }

  /** The held-out images to evaluate on, spread over all classes; the same ones each time. */
  private evalItems(): Uint32Array {
    const { task, options } = this.run;
    const labels = Uint32Array.from({ length: task.evalLength }, (_, i) => task.evalLabel(i));
    return spread(labels, options.evalItems);
  }

  /** Means of the metrics over the held-out images. Rejects with `signal.reason` when aborted. */
  async evaluate(on: Placed, signal?: AbortSignal): Promise<Record<string, number>> {
    const { task, options } = this.run;
    const { evalItems, batchSize } = options;
    const size = Math.min(evalItems, batchSize);
    const items = this.evalItems();
    const sums: Record<string, number> = {};
    const add = async (work: BatchWork, n: number) => {
      for (const [name, value] of Object.entries(await this.read(work))) sums[name] = (sums[name] ?? 0) + (value * n) / evalItems;
    };
    const work = task.open(on, size);
    const { recording } = on.be.record(() => work.evaluate());
    try {
      let at = 0;
      for (; at + size <= evalItems; at += size) {
        signal?.throwIfAborted();
        await work.loadEval(items.subarray(at, at + size));
        recording.replay();
        await add(work, size);
      }
      if (at < evalItems) {
        const rest = task.open(on, evalItems - at);
        await rest.loadEval(items.subarray(at));
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
