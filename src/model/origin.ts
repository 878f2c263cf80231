/**
 * The origins of the weights on a device, as data: everything that is needed to restore them on another device when the first one
 * is lost. A model holds a list of origins, and `restore` applies them in order.
 */
import { type CheckpointSource, openCheckpoint, type SourceOptions } from '../checkpoint/source.js';
import { CheckpointError } from '../core/errors.js';
import type { ParamValues } from './initial.js';
import { fillSaved, loadTensors, openWeights, type PlacedParam, type SavedTensors } from './load.js';
import type { Placed } from './placed.js';

/** Selects the weights whose names begin with this: the tokenizer, stage 2, or all. */
export type Part = 'vqvae.' | 'mamba.' | '';

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

/** Weights that are computed. */
export type Computed =
  /** New random weights (`init` of params.ts), which depend only on `seed`. */
  | { readonly from: 'initialisation'; readonly seed: number }
  /** Values that a function computes. For measurements. */
  | { readonly from: 'function'; readonly values: ParamValues };

/** One step in the history of the weights. */
export type Origin =
  | Computed
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
      case 'function': {
        const { fill } = await import('./initial.js');
        await fill(model, on, origin);
        break;
      }
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
