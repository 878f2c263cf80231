/**
 * The tokenizer (stage 1) on images. It minimises the losses of its codebook, a reconstruction loss, and where they are asked for a
 * perceptual loss and one against a discriminator, which is trained at the same steps.
 */
import type { Backend } from '../backend/backend.js';
import { OptionError } from '../core/errors.js';
import { imageRandom } from '../core/random.js';
import type { Tensor } from '../core/tensor.js';
import { type ImageSplits, imageBatch } from '../data/dataset.js';
import { Acts } from '../model/acts.js';
import { addTo, copyNumber, flat } from '../model/layers.js';
import type { Model } from '../model/model.js';
import type { Placed } from '../model/placed.js';
import type { TokenizerParams } from '../model/tokenizer.js';
import { tokenizerOf } from '../model/tokenizers.js';
import { mae, maeParts } from '../ops/mae.js';
import { mse } from '../ops/mse.js';
import { sum } from '../ops/sum.js';
import { Adversary } from './adversary.js';
import { imagesValues } from './batch.js';
import { CodeRestarts } from './code_restarts.js';
import { type FeatureNetwork, PerceptualLoss } from './features.js';
import type { Optimizer } from './optimizer.js';
import type { RunOptions } from './options.js';
import { type BatchWork, gradTree, type Phase, type PlacedTask, type Task } from './task.js';

/** Throws OptionError for images of another size than the tokenizer's. */
export function tokenizerTask(model: Model, images: ImageSplits | undefined, perceptual: FeatureNetwork | undefined): Task {
  const { train, eval: held } = images ?? {};
  const size = model.config.image_size;
  for (const data of [train, held]) {
    if (data && data.size !== size)
      throw new OptionError(`the images are cut to ${data.size} pixels, this tokenizer takes ${size}; open them with that size.`);
  }
  return {
    stage: 'tokenizer',
    length: train?.length ?? 0,
    evalLength: held?.length ?? 0,
    evalLabel: (item) => held!.label(item),
    items: async (items, { seed, step, first }) => ({
      count: items.length,
      data: await imageBatch(train!, items, (k) => ({ kind: 'train', random: imageRandom(seed, step, first + k) })),
    }),
    evalItems: async (items) => ({ count: items.length, data: await imageBatch(held!, items, () => ({ kind: 'eval' })) }),
    own: (call, batch) => imagesValues(model, call, batch),
    prefix: 'vqvae.',
    place: (on, optimizer, options) => new PlacedTokenizer(model, on, optimizer, options, perceptual),
  };
}

class PlacedTokenizer implements PlacedTask {
  readonly saved: PlacedTask['saved'];
  private readonly be: Backend;
  private readonly perceptual: PerceptualLoss | undefined;
  private readonly adversary: Adversary | undefined;
  private readonly restarts: CodeRestarts | undefined;

  constructor(
    private readonly model: Model,
    private readonly on: Placed,
    optimizer: Optimizer,
    private readonly options: RunOptions,
    perceptual: FeatureNetwork | undefined,
  ) {
    const { be } = on;
    this.be = be;
    this.perceptual = perceptual && new PerceptualLoss(be, perceptual);
    if (options.discriminator !== 'none') this.adversary = new Adversary(be, model.config.image_size, options);
    if (options.restartCodes) {
      const { tokenizer: c, image_size } = model.config;
      const tokenizer = tokenizerOf(c);
      const codebook = tokenizer.codebook(on.params.vqvae);
      const side = image_size / tokenizer.factor(c);
      const features = [options.batchSize / options.accumulate, side, side, codebook.shape[1]!];
      this.restarts = new CodeRestarts(be, optimizer.slots.find(({ param }) => param === codebook)!, features, options);
    }
    this.saved = [...(this.adversary?.saved ?? []), ...(this.restarts?.saved ?? [])];
  }

  phase(step: number): Phase {
    return this.adversary && step >= this.options.discStart ? 'adversarial' : 'first';
  }

  others(phase: Phase): ReturnType<PlacedTask['others']> {
    const adversary = phase === 'adversarial' ? this.adversary : undefined;
    return {
      optimizers: adversary ? [adversary.optimizer] : [],
      figures: {
        ...(adversary && { discGradNorm: adversary.optimizer.norm }),
        ...(this.restarts && { codesRestarted: this.restarts.count }),
      },
    };
  }

  zeroGrad(phase: Phase): void {
    if (phase === 'adversarial') this.adversary!.optimizer.zeroGrad();
  }

  prepare(step: number, lr: number): void {
    if (this.phase(step) === 'adversarial') this.adversary!.optimizer.prepare(step - this.options.discStart + 1, lr);
    this.restarts?.prepare(step);
  }

  update(phase: Phase): void {
    if (phase === 'adversarial') this.adversary!.optimizer.update();
    this.restarts?.update();
  }

  dispose(): void {
    this.perceptual?.dispose();
    this.adversary?.dispose();
    this.restarts?.dispose();
  }

  open(b: number): BatchWork {
    const { be, perceptual, adversary } = this;
    const { tree, config } = this.model;
    const { loss, perceptualWeight } = this.options;
    const { vqvae } = this.on.params;
    const tokenizer = tokenizerOf(config.tokenizer);
    const image = be.tensor([b, config.image_size, config.image_size, 3]);
    const number = () => be.tensor([1]);
    const own = Object.fromEntries(tokenizer.losses.map((name) => [name, number()]));
    const [reconstruction, ...codebook] = tokenizer.losses as [string, ...string[]];
    const l1 = loss === 'l1' ? number() : undefined;
    const distance = perceptual && number();
    const figures = (phase?: Phase) => {
      const adversarial = phase === 'adversarial' ? adversary : undefined;
      return {
        losses: {
          ...(l1 ? { l1 } : { [reconstruction]: own[reconstruction]! }),
          ...Object.fromEntries(codebook.map((name) => [name, own[name]!])),
          ...(perceptual && { [perceptual.name]: distance! }),
          ...(adversarial && { generator: adversarial.generator }),
        },
        others: {
          // It can be compared with that of other runs, whatever they minimise.
          ...(l1 && { [reconstruction]: own[reconstruction]! }),
          ...(adversarial && { discriminator: adversarial.discriminator, discWeight: adversarial.weight }),
        },
      };
    };
    /** Forward with all losses but that against the discriminator. */
    const forward = (a: Acts) => {
      const made = tokenizer.lossForward(be, vqvae, config.tokenizer, image, a);
      for (const [name, y] of Object.entries(own)) copyNumber(be, made.losses[name]!, y);
      if (l1) meanAbsolute(be, made.decoded, image, l1);
      return { ...made, comparison: perceptual?.forward(made.decoded, image, distance!, perceptualWeight) };
    };
    return {
      figures,
      load: ({ data }) => be.write(image, data),
      gradient: (grads, lossScale, phase) => {
        const a = new Acts(be, true);
        const { codes, features, decoded, comparison } = forward(a);
        this.restarts?.see(codes, features);
        const g = gradTree(tree.vqvae, 'vqvae.', grads) as unknown as TokenizerParams;
        const judged = new Acts(be, true);
        let ddecoded: Tensor | undefined;
        let logits: Tensor | undefined;
        // Without further losses the tokenizer computes the gradient of its own.
        if (l1 || comparison || phase === 'adversarial') {
          ddecoded = reconstructionBackward(be, loss, decoded, image, lossScale);
          if (comparison) {
            const through = perceptual!.backward(comparison, perceptualWeight, lossScale);
            addTo(be, ddecoded, through);
            be.free(through);
          }
          const last = (dy: Tensor) => tokenizer.lastGradient(be, vqvae, config.tokenizer, a, dy);
          if (phase === 'adversarial') logits = adversary!.judge(decoded, ddecoded, judged, last, lossScale);
        }
        tokenizer.lossBackward(be, vqvae, g, config.tokenizer, a, lossScale, ddecoded);
        if (logits) adversary!.train(image, logits, judged);
        judged.free();
        a.free();
      },
      evaluate: () => {
        const a = new Acts(be, true);
        const { comparison } = forward(a);
        if (comparison) perceptual!.free(comparison);
        a.free();
      },
      dispose: () => be.free(image, ...Object.values(own), l1, distance),
    };
  }
}

/** y [1] = mean(|x - truth|) */
function meanAbsolute(be: Backend, x: Tensor, truth: Tensor, y: Tensor): void {
  const parts = be.tensor([maeParts(x.size)]);
  be.run(mae.forward, { x: flat(be, x), truth: flat(be, truth), parts });
  be.run(sum.forward, { x: parts, y }, { scale: 1 / x.size });
  be.free(parts);
}

/** The gradient of the mean of (x - truth)² or of |x - truth| in x, times loss_scale[0]. */
function reconstructionBackward(be: Backend, loss: 'l2' | 'l1', x: Tensor, truth: Tensor, loss_scale: Tensor | undefined) {
  const dx = be.tensor(x.shape);
  const tensors = { x: flat(be, x), truth: flat(be, truth), loss_scale, dx: flat(be, dx) };
  be.run(loss === 'l1' ? mae.backward : mse.backward, tensors, { scale: 1 / x.size });
  return dx;
}
