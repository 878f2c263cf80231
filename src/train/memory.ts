/** How much memory of the device a run takes, and what takes less. */
import { OutOfMemoryError } from '../core/errors.js';
import { aimTrainingBytes } from '../model/aim.js';
import type { Model } from '../model/model.js';
import { countParams } from '../model/params.js';
import { tokenizerOf } from '../model/tokenizers.js';
import { DISCRIMINATORS } from './discriminators.js';
import { comparisonBytes, type FeatureNetwork } from './features.js';
import { frozenNames } from './frozen.js';
import type { RunOptions } from './options.js';

/** `8.6 GB`. */
export const bytesText = (value: number) => (value < 1e9 ? `${Math.ceil(value / 1e6)} MB` : `${(value / 1e9).toFixed(1)} GB`);

/**
 * Bytes of a run on the device, about: weights, gradients, the state of the optimizer, and for a part of a batch the activations and the
 * gradients of those. For the tokenizer temporary tensors come to it.
 */
export function trainingBytes(on: Model, options: RunOptions, perceptual?: FeatureNetwork): number {
  const { config, tree, be } = on;
  const { stage, batchSize, accumulate, recompute, emaDecay, discriminator, discChannels } = options;
  const [model, tokenizer] = [countParams(tree.mamba.backbone), countParams(tree.vqvae)];
  const trained = stage === 'model' ? model : tokenizer;
  const b = batchSize / accumulate;
  const step =
    stage === 'model'
      ? aimTrainingBytes(config, b, { recompute, ...be.traits })
      : tokenizerOf(config.tokenizer).activationBytes(config.tokenizer, [b, config.image_size, config.image_size]);
  const compared = perceptual ? comparisonBytes(perceptual, b, config.image_size) : 0;
  const against = discriminator === 'none' ? {} : DISCRIMINATORS[discriminator].trees(config.image_size, discChannels).params;
  const kept = frozenNames(on, stage === 'model' ? 'mamba.' : 'vqvae.', options);
  const named = on.named();
  const frozen = [...kept].reduce((sum, name) => sum + named.get(name)!.tensor.size, 0);
  const weights = model + tokenizer + trained + (trained - frozen) * (2 + (emaDecay ? 1 : 0)) + 4 * countParams(against);
  return 4 * weights + step + compared;
}

/** Throws OutOfMemoryError if the device lacks memory of a run, all of which is taken when its trainer is made. */
export async function assertFits(model: Model, options: RunOptions): Promise<void> {
  await model.be.settle().catch((error: unknown) => {
    // Training recovers from other failures, or reports them.
    if (error instanceof OutOfMemoryError) throw withRemedies(error, model, options);
  });
}

/** An error of a run; that of a device without room for it also says what would take less. */
export function withRemedies(error: unknown, model: Model, options: RunOptions): unknown {
  if (!(error instanceof OutOfMemoryError)) return error;
  const { stage, batchSize, accumulate, recompute } = options;
  const [reason] = error.message.split(';');
  const isModel = stage === 'model';
  const needs = (change: Partial<RunOptions> = {}) =>
    isModel ? ` (about ${bytesText(trainingBytes(model, { ...options, ...change }))})` : '';
  let parts = accumulate + 1;
  while (parts < batchSize && batchSize % parts) parts++;
  const remedies = [
    ...(isModel && !recompute ? [`recompute${needs({ recompute: true })}`] : []),
    ...(parts <= batchSize ? [`accumulate ${parts}${needs({ accumulate: parts })}`] : []),
    'a smaller batchSize',
    'a smaller model',
  ];
  const all = `${remedies.slice(0, -1).join(', ')} or ${remedies.at(-1)}`;
  return new OutOfMemoryError(`the device has too little memory for this training${needs()}: ${reason}; take ${all}.`, {
    cause: error,
  });
}
