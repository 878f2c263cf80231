/**
 * The origins of the weights on a device, as data: everything that is needed to restore them on another device when the first one
 * is lost. A model holds a list of origins, and `restore` applies them in order.
 */
import { type CheckpointSource, openCheckpoint, type SourceOptions } from '../checkpoint/source.js';
import { CheckpointError } from '../core/errors.js';
import { threefryFill } from '../core/random.js';
import { checkHalves, fillSaved, loadTensors, openWeights, type PlacedParam, type SavedTensors } from './load.js';
import { type ParamSpec, toDevice } from './params.js';
import type { Placed } from './placed.js';

/** Selects the weights whose names begin with this: the tokenizer, stage 2, or all. */
export type Part = 'vqvae.' | 'mamba.' | '';

/** Computes all values of a parameter; `out` may hold others before. `index` is the parameter's position in checkpoint order. */
export type ParamValues = (spec: ParamSpec, index: number, out: Float32Array) => void;

/** Weights that training produced, and the training run. */
export interface TrainingOrigin {
  readonly from: 'training';
  /** The part of the model that is trained. */
  readonly part: Part;
  /** Number of steps taken. */
  step: number;
  /**
   * The newest checkpoint, of the step that its `state` names. If undefined, the run started from the origins before this one.
   */
  checkpoint: (SavedTensors & { readonly state: { readonly step: number } }) | undefined;
  /** The trainer, until it is disposed. It restores its own state and repeats the steps since the checkpoint. */
  trainer: { replay(on: Placed, signal?: AbortSignal): Promise<void> } | undefined;
}

/** One step in the history of the weights. */
export type Origin =
  /** New random weights (`init` of params.ts), which depend only on `seed`. */
  | { readonly from: 'initialisation'; readonly seed: number }
  /** Values that a function computes. For measurements. */
  | { readonly from: 'function'; readonly values: ParamValues }
  | {
      readonly from: 'checkpoint';
      readonly part: Part;
      readonly source: CheckpointSource;
      readonly options: SourceOptions;
      /** Digest of the bytes that were read, to detect a changed file. */
      readonly digest: number;
    }
  /** Conversion of float16 weights to float32, as training requires. */
  | { readonly from: 'widening' }
  | TrainingOrigin;

/** The list with `origin` added and without the origins that it replaces completely. */
export function withOrigin(origins: readonly Origin[], origin: Origin): Origin[] {
  if (origin.from !== 'checkpoint') return [...origins, origin];
  const replaced = (before: Origin): boolean => {
    if (before.from === 'training') return before.trainer === undefined && before.part.startsWith(origin.part);
    return before.from === 'checkpoint' && before.part.startsWith(origin.part);
  };
  return [...origins.filter((before) => !replaced(before)), origin];
}

/** What `restore` needs of a model. */
export interface Restorable {
  readonly origins: readonly Origin[];
  named(on: Placed, part?: Part): Map<string, PlacedParam>;
  widenWeights(on: Placed): void;
}

/**
 * Restores a model's weights on another device, bit-identical to those on the lost one. Throws CheckpointError if a source is
 * gone or has changed, and for trained weights without a checkpoint.
 */
export async function restore(model: Restorable, on: Placed, signal?: AbortSignal): Promise<void> {
  const { origins } = model;
  // A training checkpoint contains all weights, so of earlier origins only the conversion to float32 matters.
  const newest = origins.findLastIndex((origin) => origin.from === 'training' && origin.checkpoint);
  for (const [i, origin] of origins.entries()) {
    if (i < newest && origin.from !== 'widening') continue;
    switch (origin.from) {
      case 'initialisation':
        await fill(model, on, initialValues(origin.seed));
        break;
      case 'function':
        await fill(model, on, origin.values);
        break;
      case 'checkpoint':
        await reload(model, on, origin, signal);
        break;
      case 'widening':
        model.widenWeights(on);
        break;
      case 'training':
        await restoreTraining(model, on, origin, signal);
        break;
    }
  }
}

async function restoreTraining(
  model: Restorable,
  on: Placed,
  origin: TrainingOrigin,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { checkpoint, trainer, step } = origin;
  if (!trainer && step !== (checkpoint?.state.step ?? 0))
    throw new CheckpointError('its weights were trained here and lost with the device; load the checkpoint saved last.');
  if (checkpoint) await fillSaved(on.be, checkpoint, 'model', model.named(on));
  await trainer?.replay(on, signal);
}

async function reload(
  model: Restorable,
  on: Placed,
  { part, source, options, digest }: Extract<Origin, { from: 'checkpoint' }>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const files = await openCheckpoint(source, { ...options, onProgress: undefined, signal });
  try {
    const weights = await openWeights(files, signal);
    await loadTensors(on.be, model.named(on, part), weights, signal);
    if (weights.source.digest() !== digest)
      throw new CheckpointError(`${files.name} is no longer the file that was loaded; load the model again.`);
  } finally {
    await files.close();
  }
}

/** Sets every parameter to its values, in checkpoint order. */
export async function fill(model: Restorable, on: Placed, values: ParamValues): Promise<void> {
  const named = [...model.named(on)];
  // One array for all: new memory for each takes longer than the numbers.
  const memory = new Float32Array(Math.max(...named.map(([, { tensor }]) => tensor.size)));
  for (const [index, [name, { spec, tensor }]] of named.entries()) {
    const data = memory.subarray(0, tensor.size);
    values(spec, index, data);
    if (tensor.dtype === 'f16') checkHalves(data, name);
    on.be.write(tensor, toDevice(spec, data));
  }
  await on.be.settle();
}

/** New random weights that depend only on `seed`: runs `init` of each parameter, which has its own random numbers. */
export const initialValues =
  (seed: number): ParamValues =>
  (spec, index, out) =>
    spec.init(spec.shape, counterRandom(seed, index), out);

/** Uniform random numbers in [0, 1): stream `index` of a seed below 2^53, from the generator that sampling uses too. */
function counterRandom(seed: number, index: number): () => number {
  const high = Math.floor(seed / 2 ** 32);
  // Some at a time, which takes a fifth of the time.
  const words = new Uint32Array(1024);
  let at = words.length;
  let n = 0;
  return () => {
    if (at === words.length) {
      threefryFill(seed >>> 0, index, n, 1 + high, words);
      n += words.length / 2;
      at = 0;
    }
    const value = ((words[at]! >>> 5) * 67108864 + (words[at + 1]! >>> 6)) / 9007199254740992;
    at += 2;
    return value;
  };
}
