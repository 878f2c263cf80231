/** The two kinds of training: stage 2 on codes, and the tokenizer on images. */
import { OptionError } from '../core/errors.js';
import { imageRandom } from '../core/random.js';
import type { Tensor } from '../core/tensor.js';
import type { Codes, CodesPart } from '../data/codes.js';
import { type ImageDataset, type ImageSplits, imageBatch } from '../data/dataset.js';
import { Acts } from '../model/acts.js';
import { type AimParams, aimLoss } from '../model/aim.js';
import { conditionOf } from '../model/conditions.js';
import { copyNumber } from '../model/layers.js';
import type { Model } from '../model/model.js';
import { mapParams, type ParamTree } from '../model/params.js';
import type { Placed } from '../model/placed.js';
import type { TokenizerParams } from '../model/tokenizer.js';
import { tokenizerOf } from '../model/tokenizers.js';
import { dropLabels } from './order.js';

export type Stage = 'model' | 'tokenizer';

/** Place of a batch in the run, the only thing its random numbers depend on. */
export interface BatchPlace {
  seed: number;
  step: number;
  /** Number of the step's items in earlier parts of its batch. */
  first: number;
}

/** Device tensors for batches of one size and the work on them. `gradient` and `evaluate` are recordable. */
export interface BatchWork {
  /** [1] each, overwritten by `gradient` and `evaluate`; their sum is what is minimised. */
  readonly metrics: Readonly<Record<string, Tensor>>;
  /** Puts items of the training set on the device, with random crops or dropped labels. */
  load(items: Uint32Array, place: BatchPlace): Promise<void>;
  /** Puts items of the evaluation set on the device. */
  loadEval(items: Uint32Array): Promise<void>;
  /** Adds the gradient of the mean loss, times lossScale[0], to `grads`. */
  gradient(grads: ReadonlyMap<string, Tensor>, lossScale?: Tensor): void;
  evaluate(): void;
  dispose(): void;
}

export interface Task {
  readonly stage: Stage;
  /** Unit in which speed is reported. */
  readonly unit: 'tokens' | 'images';
  readonly unitsPerItem: number;
  readonly length: number;
  readonly evalLength: number;
  /** Class of a held-out image. */
  evalLabel(item: number): number;
  /** Checkpoint names of the trained parameters begin with this. */
  readonly prefix: 'mamba.' | 'vqvae.';
  open(on: Placed, batch: number): BatchWork;
}

/** A tree like that of the parameters, with the gradient of each in its place. */
const gradTree = (tree: ParamTree, prefix: string, grads: ReadonlyMap<string, Tensor>) =>
  mapParams(tree, (_spec, name) => grads.get(`${prefix}${name}`)!);

/**
 * Stage 2 on codes. Each label is dropped with probability `labelDropout`, for classifier-free guidance. `rows` are the model's class
 * numbers of the data's classes; without it they are the same.
 */
export function modelTask(
  { config, tree: specs }: Model,
  codes: Codes,
  { labelDropout, rows }: { labelDropout: number; rows?: readonly number[] | undefined },
): Task {
  const T = config.num_tokens;
  const classOf = (part: CodesPart, item: number) => {
    const label = part.labels[item]!;
    return rows?.[label] ?? label;
  };
  return {
    stage: 'model',
    unit: 'tokens',
    unitsPerItem: T,
    length: codes.labels.length,
    evalLength: codes.eval?.labels.length ?? 0,
    evalLabel: (item) => codes.eval!.labels[item]!,
    prefix: 'mamba.',
    open({ be, params }, b) {
      const condition = conditionOf(config.condition);
      const batch = {
        tokens: be.tensor([b, T], 'u32'),
        condition: condition.inputs(be, config.condition, b),
        step: be.tensor([b], 'u32'),
        loss: be.tensor([1]),
      };
      be.zero(batch.step);
      const p = params.mamba.backbone;
      const put = (part: CodesPart, items: Uint32Array, labels: Uint32Array) => {
        const tokens = new Uint32Array(b * T);
        items.forEach((item, i) => {
          tokens.set(part.codes.subarray(item * T, (item + 1) * T), i * T);
        });
        be.write(batch.tokens, tokens);
        condition.write(be, config.condition, batch.condition, [...labels]);
      };
      return {
        metrics: { crossEntropy: batch.loss },
        async load(items, { seed, step, first }) {
          const labels = items.map((i) => classOf(codes, i));
          put(codes, items, dropLabels(labels, { seed, step, first, rate: labelDropout, unconditional: config.num_classes }));
        },
        async loadEval(items) {
          put(
            codes.eval!,
            items,
            items.map((i) => classOf(codes.eval!, i)),
          );
        },
        gradient(grads, lossScale) {
          const tree = gradTree(specs.mamba.backbone, 'mamba.backbone.', grads) as unknown as AimParams;
          aimLoss(be, p, config, { ...batch, lossScale }, new Acts(be, true), tree);
        },
        evaluate: () => aimLoss(be, p, config, batch, new Acts(be)),
        dispose: () => be.free(batch.tokens, ...Object.values(batch.condition), batch.step, batch.loss),
      };
    },
  };
}

/** The tokenizer on images: reconstruction, codebook and commitment losses. */
export function tokenizerTask({ config, tree: specs }: Model, { train, eval: held }: ImageSplits): Task {
  const size = config.image_size;
  for (const data of [train, held]) {
    if (data && data.size !== size)
      throw new OptionError(`the images are cut to ${data.size} pixels, this tokenizer takes ${size}; open them with that size.`);
  }
  return {
    stage: 'tokenizer',
    unit: 'images',
    unitsPerItem: 1,
    length: train.length,
    evalLength: held?.length ?? 0,
    evalLabel: (item) => held!.label(item),
    prefix: 'vqvae.',
    open({ be, params }, b) {
      const image = be.tensor([b, size, size, 3]);
      const tokenizer = tokenizerOf(config.tokenizer);
      const metrics = Object.fromEntries(tokenizer.losses.map((name) => [name, be.tensor([1])]));
      /** Forward, and backward if `grads` is given; frees the activations. */
      const run = (grads?: TokenizerParams, lossScale?: Tensor) => {
        const a = new Acts(be, true);
        const { losses } = tokenizer.lossForward(be, params.vqvae, config.tokenizer, image, a);
        for (const [name, y] of Object.entries(metrics)) copyNumber(be, losses[name]!, y);
        if (grads) tokenizer.lossBackward(be, params.vqvae, grads, config.tokenizer, a, lossScale);
        a.free();
      };
      const put = async (data: ImageDataset, items: Uint32Array, random?: (k: number) => () => number) => {
        const pixels = await imageBatch(data, items, (k) => (random ? { kind: 'train', random: random(k) } : { kind: 'eval' }));
        be.write(image, pixels);
      };
      return {
        metrics,
        load: (items, { seed, step, first }) => put(train, items, (k) => imageRandom(seed, step, first + k)),
        loadEval: (items) => put(held!, items),
        gradient: (grads, lossScale) => run(gradTree(specs.vqvae, 'vqvae.', grads) as unknown as TokenizerParams, lossScale),
        evaluate: () => run(),
        dispose: () => be.free(image, ...Object.values(metrics)),
      };
    },
  };
}
