/** A discriminator in training, on one device: its weights, its optimizer and its losses. */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { Acts } from '../model/acts.js';
import { initialValues } from '../model/initial.js';
import { addTo, flat } from '../model/layers.js';
import type { PlacedParam } from '../model/load.js';
import { allocate, init, mapParams, type ParamTree, param, toDevice, zip } from '../model/params.js';
import { addScaled } from '../ops/add_scaled.js';
import { gradientRatio } from '../ops/gradient_ratio.js';
import { hinge } from '../ops/hinge.js';
import { squareSum, squareSumSlots } from '../ops/square_sum.js';
import { DISCRIMINATORS } from './discriminators.js';
import { Optimizer } from './optimizer.js';
import type { RunOptions } from './options.js';

/** Constants of the adaptive weight in LlamaGen and taming-transformers. */
const RATIO = { eps: 1e-4, most: 1e4 };
/** Its weights have random numbers of their own: parameters of models have lower indices. */
const FIRST_INDEX = 1 << 24;

export class Adversary {
  readonly optimizer: Optimizer;
  /** [1] each. `generator` is the tokenizer's loss, weighted; `weight` its weight; `discriminator` the hinge loss without weight. */
  readonly generator: Tensor;
  readonly weight: Tensor;
  readonly discriminator: Tensor;
  /** Names are those in checkpoints. */
  readonly saved: readonly [string, PlacedParam][];
  private readonly params: object;
  private readonly running: object;
  private readonly grads: object;
  private readonly allocated: readonly Tensor[];

  constructor(
    private readonly be: Backend,
    size: number,
    private readonly options: RunOptions,
  ) {
    const { discChannels, seed, discWeight } = options;
    const { params: tree, running } = this.network.trees(size, discChannels);
    const place = (of: ParamTree) => {
      const tensors = allocate(be, of);
      return { tensors: tensors as object, named: [...zip(of, tensors)] };
    };
    const [trained, averaged] = [place(tree), place(running)];
    [...trained.named, ...averaged.named].forEach(([, spec, tensor], i) => {
      const values = new Float32Array(tensor.size);
      initialValues(seed)(spec, FIRST_INDEX + i, values);
      be.write(tensor, toDevice(spec, values));
    });
    this.params = trained.tensors;
    this.running = averaged.tensors;
    const named = trained.named.map(([name, spec, t]) => ({ name: `discriminator.${name}`, spec, param: t }));
    this.optimizer = new Optimizer(be, named, { ...options, emaDecay: 0 });
    const { slots, lossScale } = this.optimizer;
    const grads = new Map(slots.map((s) => [s.name, s.grad]));
    this.grads = mapParams(tree, (_spec, name) => grads.get(`discriminator.${name}`)!);
    this.saved = [
      ...slots.map((s): [string, PlacedParam] => [s.name, { spec: s.spec, tensor: s.param }]),
      ...averaged.named.map(([name, spec, tensor]): [string, PlacedParam] => [`discriminator.${name}`, { spec, tensor }]),
      ...slots.map((s): [string, PlacedParam] => [`m.${s.name}`, { spec: s.spec, tensor: s.m }]),
      ...slots.map((s): [string, PlacedParam] => [`v.${s.name}`, { spec: s.spec, tensor: s.v }]),
      ...(lossScale
        ? [['discriminator.loss_scale', { spec: param([2], init.zeros), tensor: lossScale }] as [string, PlacedParam]]
        : []),
    ];
    this.generator = be.tensor([1]);
    this.discriminator = be.tensor([1]);
    this.weight = be.from([discWeight]);
    this.allocated = [...new Set([...trained.named, ...averaged.named].map(([, , t]) => t))];
  }

  private get network() {
    return DISCRIMINATORS[this.options.discriminator as keyof typeof DISCRIMINATORS];
  }

  /**
   * Judges decoded images: computes the tokenizer's loss -mean(logits), adds its gradient (times lossScale[0]) to ddecoded, and takes
   * the moments of the norms. `last` gives the gradient of the decoder's last layer for one of the decoded images; the adaptive weight
   * compares those of ddecoded and of this loss. The activations in `a` are for `train`. Recordable. Returns the logits.
   */
  judge(decoded: Tensor, ddecoded: Tensor, a: Acts, last: (ddecoded: Tensor) => Tensor, loss_scale?: Tensor): Tensor {
    const { be, network, weight } = this;
    const logits = network.forward(be, this.params, decoded, a);
    network.track(be, this.running, a);
    const x = flat(be, logits);
    const attrs = { sign: 1, scale: 1 / logits.size, linear: 1 };
    const loss = be.tensor([1]);
    be.run(hinge.forward, { x, y: loss }, attrs);
    const dlogits = be.tensor(logits.shape);
    be.run(hinge.backward, { x, loss_scale, dx: flat(be, dlogits) }, attrs);
    const own = network.backward(be, this.params, undefined, dlogits, a, true)!;
    be.free(dlogits);
    if (this.options.adaptive) this.weigh(last(ddecoded), last(own), loss_scale);
    be.run(addScaled.forward, { x: flat(be, own), factor: weight, y: flat(be, ddecoded) });
    be.zero(this.generator);
    be.run(addScaled.forward, { x: loss, factor: weight, y: this.generator });
    be.free(own, loss);
    return logits;
  }

  /** weight = discWeight · the ratio of the norms of two gradients, which are freed. */
  private weigh(others: Tensor, own: Tensor, loss_scale: Tensor | undefined): void {
    const { be } = this;
    const sums = [others, own].map((gradient) => {
      const to = be.tensor([squareSumSlots(gradient.size)]);
      be.run(squareSum.forward, { x: flat(be, gradient), sums: to }, { slot: 0 });
      be.free(gradient);
      return to;
    }) as [Tensor, Tensor];
    const tensors = { a: sums[0], b: sums[1], loss_scale, y: this.weight };
    be.run(gradientRatio.forward, tensors, { scale: this.options.discWeight, ...RATIO });
    be.free(...sums);
  }

  /**
   * Adds the gradients of the discriminator's loss, ½·(mean(max(0, 1 - D(image))) + mean(max(0, 1 + D(decoded)))) · discWeight, to its
   * own. `logits` of the decoded images and the activations `a` are those of `judge`. Recordable.
   */
  train(image: Tensor, logits: Tensor, a: Acts): void {
    const { be, network } = this;
    const real = new Acts(be, true);
    const sides = [
      { sign: 1, x: network.forward(be, this.params, image, real), a: real },
      { sign: -1, x: logits, a },
    ];
    const losses = sides.map(({ sign, x, a: of }) => {
      network.track(be, this.running, of);
      const loss = be.tensor([1]);
      const attrs = { sign, scale: 0.5 / x.size, linear: 0 };
      be.run(hinge.forward, { x: flat(be, x), y: loss }, attrs);
      const dlogits = be.tensor(x.shape);
      const scaled = { ...attrs, scale: attrs.scale * this.options.discWeight };
      be.run(hinge.backward, { x: flat(be, x), loss_scale: this.optimizer.lossScale, dx: flat(be, dlogits) }, scaled);
      network.backward(be, this.params, this.grads, dlogits, of, false);
      be.free(dlogits);
      return loss;
    });
    real.free();
    be.zero(this.discriminator);
    for (const loss of losses) addTo(be, this.discriminator, loss);
    be.free(...losses);
  }

  dispose(): void {
    this.optimizer.dispose();
    this.be.free(...this.allocated, this.generator, this.discriminator, this.weight);
  }
}
