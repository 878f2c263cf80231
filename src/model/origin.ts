/**
 * Where the weights on a device came from, as data: what is needed to bring them onto another device when the first is lost.
 * A model holds a list of origins, and `restore` goes through it in order.
 */
import { type CheckpointSource, openCheckpoint, type SourceOptions } from '../checkpoint/source.js';
import { CheckpointError } from '../core/errors.js';
import { threefry2x32 } from '../core/random.js';
import { checkHalves, fillSaved, loadTensors, openWeights, type PlacedParam, type SavedTensors } from './load.js';
import { type ParamSpec, toDevice } from './params.js';
import type { Placed } from './placed.js';

/** The weights whose names begin with this: the tokenizer, stage 2, or all. */
export type Part = 'vqvae.' | 'mamba.' | '';

/** Values of a parameter, by its place in checkpoint order. */
export type ParamValues = (spec: ParamSpec, index: number, out: Float32Array) => void;

/** Weights made by training, and the run that made them. */
export interface TrainingOrigin {
  readonly from: 'training';
  /** What is trained. */
  readonly part: Part;
  /** Steps taken. */
  step: number;
  /** The newest known state, of the step that its `state` names; undefined: the origins before this one. */
  checkpoint: (SavedTensors & { readonly state: { readonly step: number } }) | undefined;
  /** The trainer, while it lives: brings its own state back and takes the steps since the checkpoint once more. */
  trainer: { replay(on: Placed, signal?: AbortSignal): Promise<void> } | undefined;
}

export type Origin =
  /** Fresh weights (init of params.ts), the same for a seed. */
  | { readonly from: 'initialisation'; readonly seed: number }
  /** Values that a caller computes; for measurements. */
  | { readonly from: 'function'; readonly values: ParamValues }
  | {
      readonly from: 'checkpoint';
      readonly part: Part;
      readonly source: CheckpointSource;
      readonly options: SourceOptions;
      /** Of the bytes read, so that a changed file is noticed. */
      readonly digest: number;
    }
  /** Weights stored as float16 became float32, as training needs them. */
  | { readonly from: 'widening' }
  | TrainingOrigin;

/** The list with `origin` added, and without what it replaces entirely. */
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
 * Brings a model's weights onto another device as they were on the lost one, to the bit. Throws CheckpointError when a source is
 * gone or no longer the same, and for trained weights of which no checkpoint is known.
 */
export async function restore(model: Restorable, on: Placed, signal?: AbortSignal): Promise<void> {
  const { origins } = model;
  // A training checkpoint has all weights, so only the number formats of what came before matter.
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
    throw new CheckpointError('its weights were trained here and went with the device; load the checkpoint saved last.');
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

/** Gives every parameter its values, in checkpoint order. */
export async function fill(model: Restorable, on: Placed, values: ParamValues): Promise<void> {
  let index = 0;
  for (const [name, { spec, tensor }] of model.named(on)) {
    const data = new Float32Array(tensor.size);
    values(spec, index++, data);
    if (tensor.dtype === 'f16') checkHalves(data, name);
    on.be.write(tensor, toDevice(spec, data));
  }
  await on.be.settle();
}

/** Fresh weights of a seed: `init` of each parameter with random numbers of its own. */
export const initialValues =
  (seed: number): ParamValues =>
  (spec, index, out) =>
    spec.init(spec.shape, counterRandom(seed, index), out);

/** Uniforms in [0, 1) of stream `index` of a seed below 2^53, from the generator that sampling uses. */
function counterRandom(seed: number, index: number): () => number {
  const high = Math.floor(seed / 2 ** 32);
  let n = 0;
  return () => {
    const [a, b] = threefry2x32(seed >>> 0, index, n++, 1 + high);
    return ((a >>> 5) * 67108864 + (b >>> 6)) / 9007199254740992;
  };
}
