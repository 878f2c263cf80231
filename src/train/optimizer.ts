/** AdamW (Loshchilov & Hutter 2019, as PyTorch computes it) with global-norm clipping and EMA, all on the device. */
import { type Backend, SLICE_BYTES, sizeOf, type Tensor } from '../backend/backend.js';
import { zeros } from '../model/backward.js';
import { line } from '../model/layers.js';
import type { ParamSpec } from '../model/params.js';
import { HYPER } from '../ops/adamw.js';
import { adamw, clip, ema, squareSum } from '../ops/index.js';
import { BYTES } from '../ops/spec.js';
import { squareSumSlots } from '../ops/square_sum.js';

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
  /** Decay of the moving average of weights; 0 keeps none. Default 0. */
  emaDecay?: number;
  /**
   * First scale of the loss, so that small gradients survive factors of float16 (mixed precision). It halves when a gradient
   * overflows, whose step is skipped, and doubles after 2000 good steps. 0: none. Default 0.
   */
  lossScale?: number;
}

/** One parameter with what the optimizer holds for it. */
export interface Slot {
  readonly name: string;
  readonly spec: ParamSpec;
  readonly param: Tensor;
  readonly grad: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
  readonly ema: Tensor | undefined;
}

export class Optimizer {
  readonly slots: readonly Slot[];
  /** [1] norm of the gradient before clipping; not finite if any gradient is not, and then no further step changes anything. */
  readonly norm: Tensor;
  /** [2] the scale of the loss now, and good steps since it changed; where there is one. */
  readonly lossScale: Tensor | undefined;
  private readonly hyper: Tensor;
  private readonly sums: Tensor;
  /** What holds all gradients, so that one command reaches many of them. */
  private readonly arenas: readonly Tensor[];
  private readonly options: Required<OptimizerOptions>;

  constructor(
    private readonly be: Backend,
    params: Iterable<{ name: string; spec: ParamSpec; param: Tensor }>,
    options: OptimizerOptions = {},
  ) {
    this.options = {
      betas: [0.9, 0.95],
      eps: 1e-8,
      weightDecay: 0.05,
      clipNorm: 1,
      accumulate: 1,
      emaDecay: 0,
      lossScale: 0,
      ...options,
    };
    const list = [...params];
    const grads = packed(
      be,
      list.map((p) => p.param.shape),
    );
    this.arenas = grads.arenas;
    this.slots = list.map((p, i) => ({
      ...p,
      grad: grads.tensors[i]!,
      m: zeros(be, p.param.shape),
      v: zeros(be, p.param.shape),
      ema: this.options.emaDecay ? zeros(be, p.param.shape) : undefined,
    }));
    this.hyper = zeros(be, [8]);
    this.lossScale = this.options.lossScale ? be.from([this.options.lossScale, 0]) : undefined;
    this.norm = be.tensor([1]);
    this.sums = be.tensor([this.arenas.reduce((n, a) => n + squareSumSlots(a.size), 0)]);
  }

  /** Starts the moving average at the weights as they are. */
  async resetEma(): Promise<void> {
    for (const { param, ema: average } of this.slots) if (average) this.be.write(average, await this.be.read(param));
  }

  /** Sets what `update` will use: the learning rate, and the step's number from 1 for the bias corrections. Not recorded. */
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
  }

  zeroGrad(): void {
    for (const arena of this.arenas) this.be.zero(arena);
  }

  /** Clips, steps and averages. Recordable. */
  update(): void {
    const { be, hyper, sums, norm } = this;
    const { weightDecay, clipNorm, accumulate, emaDecay } = this.options;
    let slot = 0;
    for (const x of this.arenas) {
      be.run(squareSum.forward, { x, sums }, { slot });
      slot += squareSumSlots(x.size);
    }
    be.run(
      clip.forward,
      { sums, hyper, loss_scale: this.lossScale, norm },
      { max_norm: clipNorm || NO_CLIP, scale: 1 / accumulate, growth: GROWTH },
    );
    for (const s of this.slots) {
      be.run(
        adamw.forward,
        { param: line(be, s.param), grad: line(be, s.grad), m: line(be, s.m), v: line(be, s.v), hyper },
        { decay: s.spec.shape.length >= 2 ? weightDecay : 0 },
      );
      if (s.ema) be.run(ema.forward, { ema: line(be, s.ema), param: line(be, s.param) }, { decay: emaDecay });
    }
  }

  dispose(): void {
    const { be } = this;
    for (const s of this.slots) be.free(s.m, s.v, s.ema);
    be.free(...this.arenas, this.hyper, this.sums, this.norm, this.lossScale);
  }
}

const NO_CLIP = 1e30;
/** Good steps after which the loss scale doubles, as in PyTorch's GradScaler. */
const GROWTH = 2000;

/** Elements of an arena: what WebGPU binds by default. */
const ARENA = 2 ** 25;

/** Zeros of these shapes, in a row within as few tensors as bind; what pads them stays zero. */
function packed(be: Backend, shapes: readonly (readonly number[])[]): { tensors: Tensor[]; arenas: Tensor[] } {
  const align = SLICE_BYTES / BYTES.f32;
  const sizes: number[] = [];
  const places = shapes.map((shape) => {
    const size = sizeOf(shape);
    if (!sizes.length || sizes.at(-1)! + size > ARENA) sizes.push(0);
    const at = sizes.at(-1)!;
    sizes[sizes.length - 1] = Math.ceil((at + size) / align) * align;
    return { shape, size, at, arena: sizes.length - 1 };
  });
  const arenas = sizes.map((size) => zeros(be, [size]));
  return { arenas, tensors: places.map((p) => be.reshape(be.slice(arenas[p.arena]!, p.at, p.size), p.shape)) };
}
