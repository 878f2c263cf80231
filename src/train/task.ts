/** What is trained: the interface of tasks, and stage 2 on codes. The tokenizer on images is in tokenizer_task.ts. */
import { OptionError } from '../core/errors.js';
import type { Tensor } from '../core/tensor.js';
import type { Codes, CodesPart } from '../data/codes.js';
import { Acts } from '../model/acts.js';
import { type AimParams, aimLoss } from '../model/aim.js';
import { conditionOf } from '../model/conditions.js';
import type { PlacedParam } from '../model/load.js';
import type { Model } from '../model/model.js';
import { mapParams, type ParamTree } from '../model/params.js';
import type { Placed } from '../model/placed.js';
import { codesValues, type TrainBatch, type Values } from './batch.js';
import type { Optimizer } from './optimizer.js';
import type { RunOptions } from './options.js';
import { dropLabels } from './order.js';
import type { Stage } from './stage1.js';

/** Place of a batch in the run, the only thing its random numbers depend on. */
export interface BatchPlace {
  seed: number;
  step: number;
  /** Number of the step's items in earlier parts of its batch. */
  first: number;
}

/** The figures of a batch, [1] each. */
export interface Figured {
  /** Their sum is what is minimised. */
  readonly losses: Readonly<Record<string, Tensor>>;
  /** What is reported beside them. */
  readonly others: Readonly<Record<string, Tensor>>;
}

/** Device tensors for batches of one size and the work on them. `gradient` and `evaluate` are recordable. */
export interface BatchWork {
  /** What `gradient` overwrites in this phase, or, without a phase, `evaluate`. */
  figures(phase?: Phase): Figured;
  /** Puts images on the device; with a place they are trained on there, so that labels may be dropped. */
  load(values: Values, place?: BatchPlace): void;
  /** Adds the gradient of the mean loss, times lossScale[0], to `grads`. */
  gradient(grads: ReadonlyMap<string, Tensor>, lossScale: Tensor | undefined, phase: Phase): void;
  evaluate(): void;
  dispose(): void;
}

/** A stretch of the steps of a run, in which all take the same recorded work. */
export type Phase = 'first' | 'adversarial';

/** A task on one device, with what it trains or keeps there beside the model. `update` and `zeroGrad` are recordable. */
export interface PlacedTask {
  open(batch: number): BatchWork;
  /** The phase of step `step`, counted from 0. */
  phase(step: number): Phase;
  /** Tensors beside the model's that checkpoints hold, by their names in the file of the optimizer. */
  readonly saved: readonly [string, PlacedParam][];
  /** Optimizers beside the model's, and the figures of each step that `update` overwrites, [1] each. */
  others(phase: Phase): { optimizers: readonly Optimizer[]; figures: Readonly<Record<string, Tensor>> };
  /** Zeroes gradients beside the model's. */
  zeroGrad(phase: Phase): void;
  /** Sets what `update` uses for a step, counted from 0. */
  prepare(step: number, lr: number): void;
  /** What follows the update of the model. */
  update(phase: Phase): void;
  dispose(): void;
}

export interface Task {
  readonly stage: Stage;
  /** Training and held-out images; 0 without data. */
  readonly length: number;
  readonly evalLength: number;
  /** Class of a held-out image. */
  evalLabel(item: number): number;
  /** Items of the training set, with random crops. */
  items(items: Uint32Array, place: BatchPlace): Promise<Values>;
  /** Items of the evaluation set. */
  evalItems(items: Uint32Array): Promise<Values>;
  /** Checks a batch of the caller's own and copies it; `call` is named in errors. Throws OptionError. */
  own(call: string, batch: TrainBatch): Promise<Values>;
  /** Checkpoint names of the trained parameters begin with this. */
  readonly prefix: 'mamba.' | 'vqvae.';
  place(on: Placed, optimizer: Optimizer, options: RunOptions): PlacedTask;
}

/** A tree like that of the parameters, with the gradient of each in its place. */
export const gradTree = (tree: ParamTree, prefix: string, grads: ReadonlyMap<string, Tensor>) =>
  mapParams(tree, (_spec, name) => grads.get(`${prefix}${name}`)!);

/**
 * Stage 2 on codes. Each label is dropped with probability `labelDropout`, for classifier-free guidance. `rows` are the model's class
 * numbers of the data's classes; without it they are the same. Throws OptionError for data that is not of its own size and range.
 */
export function modelTask(
  model: Model,
  codes: Codes | undefined,
  { labelDropout, rows }: { labelDropout: number; rows?: readonly number[] | undefined },
): Task {
  const T = model.config.num_tokens;
  if (codes) checkPart('data', codes, codes);
  if (codes?.eval) checkPart('data.eval', codes.eval, codes);
  const values = (part: CodesPart, items: Uint32Array): Values => {
    const data = new Uint32Array(items.length * T);
    items.forEach((item, i) => {
      data.set(part.codes.subarray(item * T, (item + 1) * T), i * T);
    });
    return { count: items.length, data, labels: items.map((item) => rows?.[part.labels[item]!] ?? part.labels[item]!) };
  };
  return {
    stage: 'model',
    length: codes?.labels.length ?? 0,
    evalLength: codes?.eval?.labels.length ?? 0,
    evalLabel: (item) => codes!.eval!.labels[item]!,
    items: async (items) => values(codes!, items),
    evalItems: async (items) => values(codes!.eval!, items),
    own: (call, batch) => codesValues(model, call, batch),
    prefix: 'mamba.',
    place: (on, _optimizer, { recompute }) => ({
      ...NOTHING_BESIDE,
      open: (b) => openCodes(model, on, b, { labelDropout, recompute }),
    }),
  };
}

/** A task without anything beside the model. */
const NOTHING_BESIDE: Omit<PlacedTask, 'open'> = {
  phase: () => 'first',
  saved: [],
  others: () => ({ optimizers: [], figures: {} }),
  zeroGrad() {},
  prepare() {},
  update() {},
  dispose() {},
};

function openCodes(
  { config, tree: specs }: Model,
  { be, params }: Placed,
  b: number,
  { labelDropout, recompute }: Pick<RunOptions, 'labelDropout' | 'recompute'>,
): BatchWork {
  const condition = conditionOf(config.condition);
  const batch = {
    tokens: be.tensor([b, config.num_tokens], 'u32'),
    condition: condition.inputs(be, config.condition, b),
    step: be.tensor([b], 'u32'),
    loss: be.tensor([1]),
  };
  be.zero(batch.step);
  const p = params.mamba.backbone;
  return {
    figures: () => ({ losses: { crossEntropy: batch.loss }, others: {} }),
    load({ data, labels }, place) {
      const dropped = place && { ...place, rate: labelDropout, unconditional: config.num_classes };
      be.write(batch.tokens, data);
      condition.write(be, config.condition, batch.condition, [...(dropped ? dropLabels(labels!, dropped) : labels!)]);
    },
    gradient(grads, lossScale) {
      const tree = gradTree(specs.mamba.backbone, 'mamba.backbone.', grads) as unknown as AimParams;
      aimLoss(be, p, config, { ...batch, lossScale }, new Acts(be, true, recompute), tree);
    },
    evaluate: () => aimLoss(be, p, config, batch, new Acts(be)),
    dispose: () => be.free(batch.tokens, ...Object.values(batch.condition), batch.step, batch.loss),
  };
}

/** Throws OptionError unless codes [n, T] and labels [n] have their sizes and ranges: those of a file do, a caller's may not. */
function checkPart(name: string, { codes, labels }: CodesPart, { classes, tokens, vocabulary }: Codes): void {
  if (!isUint32(codes) || !isUint32(labels))
    throw new OptionError(
      `${name}: codes and labels must be Uint32Arrays; convert them with Uint32Array.from (of what openData returns, pass its codes).`,
    );
  if (codes.length !== labels.length * tokens)
    throw new OptionError(
      `${name} has ${codes.length} codes and ${labels.length} labels; with ${tokens} tokens an image there must be ${labels.length * tokens} codes.`,
    );
  const beyond = (values: Uint32Array, limit: number, what: string) => {
    for (let i = 0; i < values.length; i++)
      if (values[i]! >= limit) throw new OptionError(`${name}: ${what} ${i} is ${values[i]}; it must be from 0 to ${limit - 1}.`);
  };
  beyond(codes, vocabulary, 'code');
  beyond(labels, classes.length, 'label');
}

/** True for a Uint32Array, also from another realm. */
const isUint32 = (data: unknown): boolean =>
  ArrayBuffer.isView(data) && (data as Partial<Uint32Array>)[Symbol.toStringTag] === 'Uint32Array';
