/**
 * AdamW (Loshchilov & Hutter 2019, as PyTorch computes it) with global-norm clipping, and an exponential moving average of the weights,
 * all on the device.
 */
import type { Backend } from '../backend/backend.js';
import { OptionError } from '../core/errors.js';
import { defaultsOf, type OptionTable, shown } from '../core/options.js';
import type { Tensor } from '../core/tensor.js';
import { follows, packed, span } from '../model/arena.js';
import { zeros } from '../model/layers.js';
import { decays, type ParamSpec } from '../model/params.js';
import { adamw, HYPER } from '../ops/adamw.js';
import { clip } from '../ops/clip.js';
import { ema } from '../ops/ema.js';
import { squareSum, squareSumSlots } from '../ops/square_sum.js';

export interface OptimizerOptions {
  /** Default [0.9, 0.95]. */
  betas?: readonly [number, number];
  /** Default 1e-8. */
  eps?: number;
  /** Decoupled decay of parameters of two or more dimensions. Default 0.05. */
  weightDecay?: number;
  /** Largest global norm of the gradient; 0 clips nothing. Default 1. */
  clipNorm?: number;
  /** Batches whose gradients are added up before an update takes their mean. Default 1. */
  accumulate?: number;
  /**
   * Decay of the moving average of weights; 0 keeps none. After step t = 1, 2, … it is at most (1 + t) / (10 + t), as in TensorFlow's
   * ExponentialMovingAverage, so that the average soon forgets the weights that training began from. Default 0.
   */
  emaDecay?: number;
  /**
   * First scale of the loss, so that small gradients survive factors of float16 (mixed precision). It halves when a gradient
   * overflows, whose step is skipped, and doubles after 2000 good steps. 0: none. Default 0.
   */
  lossScale?: number;
}

export const OPTIMIZER = {
  betas: {
    type: 'other',
    default: [0.9, 0.95],
    about: 'decay of the averages of the gradient and of its square, each in [0, 1)',
  },
  eps: { type: 'number', min: 0, exclusiveMin: true, default: 1e-8, about: 'added to the root of the averaged square' },
  weightDecay: { type: 'number', min: 0, default: 0.05, about: 'decoupled decay of parameters of two or more dimensions' },
  clipNorm: { type: 'number', min: 0, default: 1, about: 'largest global norm of the gradient; 0 clips nothing' },
  accumulate: { type: 'integer', min: 1, default: 1, about: 'parts that a batch is cut into, to save memory; must divide it' },
  emaDecay: {
    type: 'number',
    min: 0,
    max: 1,
    exclusiveMax: true,
    default: 0,
    about: 'decay of the moving average of weights; 0 keeps none',
  },
  lossScale: {
    type: 'number',
    min: 0,
    default: 0,
    about: 'first scale of the loss in mixed precision; 0 is none, else at least 1',
  },
} as const satisfies OptionTable<OptimizerOptions>;

/** Checks what the table cannot. Throws OptionError. */
export function checkAdam({ betas, lossScale }: Pick<Required<OptimizerOptions>, 'betas' | 'lossScale'>): void {
  const isDecay = (beta: unknown) => typeof beta === 'number' && beta >= 0 && beta < 1;
  if (!Array.isArray(betas) || betas.length !== 2 || !betas.every(isDecay))
    throw new OptionError(`betas is ${shown(betas)}; it must be two numbers from 0 to below 1.`);
  if (lossScale > 0 && lossScale < 1) throw new OptionError(`lossScale is ${lossScale}; it must be at least 1, or 0 for none.`);
}

/** One parameter with its gradient, moments and average. */
export interface Slot {
  readonly name: string;
  readonly spec: ParamSpec;
  readonly param: Tensor;
  readonly grad: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
  readonly ema: Tensor | undefined;
}

/** Consecutive slots, in all their tensors, with the same decay: updated by one command. */
interface Group extends Pick<Slot, 'param' | 'grad' | 'm' | 'v' | 'ema'> {
  readonly decay: number;
}

export class Optimizer {
  readonly slots: readonly Slot[];
  private readonly groups: readonly Group[];
  /** [1] norm of the gradient before clipping; not finite if any gradient is not, and then no further step changes anything. */
  readonly norm: Tensor;
  /** [2] the scale of the loss now, and good steps since it changed; where there is one. */
  readonly lossScale: Tensor | undefined;
  private readonly hyper: Tensor;
  /** [1] the largest decay of the average at this step; where there is one. */
  private readonly mostDecay: Tensor | undefined;
  private readonly sums: Tensor;
  /** Allocations of the gradients, and of moments and averages. */
  private readonly grads: readonly Tensor[];
  private readonly kept: readonly Tensor[];
  private readonly options: Required<OptimizerOptions>;

  constructor(
    private readonly be: Backend,
    params: Iterable<{ name: string; spec: ParamSpec; param: Tensor }>,
    options: OptimizerOptions = {},
  ) {
    this.options = { ...defaultsOf(OPTIMIZER), ...options };
    // In the order in which the parameters lie in memory (`allocate`).
    const list = [...params];
    const order = [...list.filter((p) => decays(p.spec)), ...list.filter((p) => !decays(p.spec))];
    const kept: Tensor[] = [];
    const like = () => {
      const { tensors, arenas } = packed(
        be,
        order.map((p) => p.param.shape),
      );
      for (const arena of arenas) be.zero(arena);
      kept.push(...arenas);
      return tensors;
    };
    const grads = like();
    this.grads = kept.splice(0);
    const [m, v, averages] = [like(), like(), this.options.emaDecay ? like() : []];
    this.kept = kept;
    const slots = order.map((p, i) => ({ ...p, grad: grads[i]!, m: m[i]!, v: v[i]!, ema: averages[i] }));
    this.groups = grouped(slots, this.options.weightDecay);
    const places = new Map(slots.map((s) => [s.name, s]));
    this.slots = list.map((p) => places.get(p.name)!);
    this.hyper = zeros(be, [8]);
    this.mostDecay = this.options.emaDecay ? zeros(be, [1]) : undefined;
    this.lossScale = this.options.lossScale ? be.from([this.options.lossScale, 0]) : undefined;
    this.norm = be.tensor([1]);
    this.sums = be.tensor([this.grads.reduce((n, a) => n + squareSumSlots(a.size), 0)]);
  }

  /** Starts the moving average at the weights as they are. */
  async resetEma(): Promise<void> {
    for (const { param, ema: average } of this.slots) if (average) this.be.write(average, await this.be.read(param));
  }

  /** Sets what `update` uses: the learning rate, and the step's number from 1 for bias corrections and the average. Not recordable. */
  prepare(step: number, lr: number): void {
    const [beta1, beta2] = this.options.betas;
    // All but `skip`, which `clip` sets and nothing clears: after a gradient that is not finite no later step does harm.
    const hyper = new Float64Array(HYPER.skip);
    hyper[HYPER.lr] = lr;
    hyper[HYPER.beta1] = beta1;
    hyper[HYPER.beta2] = beta2;
    hyper[HYPER.eps] = this.options.eps;
    hyper[HYPER.bias1] = 1 - beta1 ** step;
    hyper[HYPER.bias2] = 1 - beta2 ** step;
    hyper[HYPER.grad_scale] = 1;
    this.be.write(this.hyper, hyper);
    if (this.mostDecay) this.be.write(this.mostDecay, Float64Array.of((1 + step) / (10 + step)));
  }

  zeroGrad(): void {
    for (const arena of this.grads) this.be.zero(arena);
  }

  /** Clips, steps and averages. Recordable. */
  update(): void {
    const { be, hyper, sums, norm, mostDecay: most } = this;
    const { clipNorm, accumulate, emaDecay } = this.options;
    let slot = 0;
    for (const x of this.grads) {
      be.run(squareSum.forward, { x, sums }, { slot });
      slot += squareSumSlots(x.size);
    }
    be.run(
      clip.forward,
      { sums, hyper, loss_scale: this.lossScale, norm },
      { max_norm: clipNorm || NO_CLIP, scale: 1 / accumulate, growth: GROWTH },
    );
    for (const { param, grad, m, v, ema: average, decay } of this.groups) {
      be.run(adamw.forward, { param, grad, m, v, hyper }, { decay });
      if (average) be.run(ema.forward, { ema: average, param, most }, { decay: emaDecay });
    }
  }

  dispose(): void {
    this.be.free(...this.grads, ...this.kept, this.hyper, this.sums, this.norm, this.lossScale, this.mostDecay);
  }
}

const NO_CLIP = 1e30;
/** Good steps after which the loss scale doubles, as in PyTorch's GradScaler. */
const GROWTH = 2000;

/** Joins neighbouring slots. A group ends where an allocation ends or the decay differs. */
function grouped(slots: readonly Slot[], weightDecay: number): Group[] {
  const parts = ['param', 'grad', 'm', 'v', 'ema'] as const;
  const joins = (a: Slot, b: Slot) =>
    decays(a.spec) === decays(b.spec) && parts.every((part) => !a[part] || follows(a[part], b[part]!));
  const groups: Slot[][] = [];
  for (const s of slots) {
    const last = groups.at(-1);
    if (last && joins(last.at(-1)!, s)) last.push(s);
    else groups.push([s]);
  }
  return groups.map((g) => {
    const [first, last] = [g[0]!, g.at(-1)!];
    return {
      param: span(first.param, last.param),
      grad: span(first.grad, last.grad),
      m: span(first.m, last.m),
      v: span(first.v, last.v),
      ema: first.ema && span(first.ema, last.ema!),
      decay: decays(first.spec) ? weightDecay : 0,
    };
  });
}
