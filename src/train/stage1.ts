/** What the tokenizer's training minimises besides the losses of its codebook, and what it does for dead codes: options and checks. */
import { OptionError } from '../core/errors.js';
import { defaultsOf, type OptionTable, shown } from '../core/options.js';
import { DISCRIMINATOR_NAMES, DISCRIMINATORS, type DiscriminatorName } from './discriminators.js';
import type { FeatureNetwork } from './features.js';

/** What is trained: stage 2, or the tokenizer. */
export type Stage = 'model' | 'tokenizer';

/** Options of the tokenizer's training (stage 1) alone. */
export interface Stage1Options {
  /** Reconstruction loss: 'l2', the mean squared error, or 'l1', the mean absolute one. Default 'l2'. */
  loss?: 'l2' | 'l1';
  /** Weight of the perceptual loss, where there is one. Default 1. */
  perceptualWeight?: number;
  /** What the tokenizer is trained against: 'patchgan', or 'none'. Default 'none'. */
  discriminator?: DiscriminatorName;
  /** Steps before the discriminator is trained and used. Default 20,000 (LlamaGen). */
  discStart?: number;
  /** Weight of the discriminator's loss, and of the tokenizer's against it. Default 0.5. */
  discWeight?: number;
  /** Channels of the discriminator's first layer. Default 64. */
  discChannels?: number;
  /**
   * Multiply the weight of the tokenizer's loss against the discriminator by the ratio of the norms of two gradients of the decoder's
   * last layer: that of reconstruction and perceptual loss over that of this loss (Esser et al. 2021). Default false.
   */
  adaptive?: boolean;
  /** Codes that no image used for so many steps restart at a feature of the batch; 0 never. Default 0. */
  restartCodes?: number;
}

export const STAGE1 = {
  loss: { type: 'choice', choices: ['l2', 'l1'], default: 'l2', about: 'reconstruction loss of the tokenizer' },
  perceptualWeight: { type: 'number', min: 0, exclusiveMin: true, default: 1, about: 'weight of the perceptual loss' },
  discriminator: {
    type: 'choice',
    choices: DISCRIMINATOR_NAMES,
    default: 'none',
    about: 'what the tokenizer is trained against',
  },
  discStart: { type: 'integer', min: 0, default: 20_000, about: 'steps before the discriminator is trained and used' },
  discWeight: { type: 'number', min: 0, exclusiveMin: true, default: 0.5, about: 'weight of the losses with the discriminator' },
  discChannels: { type: 'integer', min: 1, max: 512, default: 64, about: "channels of the discriminator's first layer" },
  adaptive: {
    type: 'boolean',
    default: false,
    about: "weigh the loss against the discriminator by gradients of the decoder's last layer",
  },
  restartCodes: {
    type: 'integer',
    min: 0,
    default: 0,
    about: 'steps without use after which a code restarts at a feature of the batch; 0 never',
  },
} as const satisfies OptionTable<Stage1Options>;

/** Options that runs of earlier versions do not have, with the values that say what those did. */
export const BEFORE_STAGE1: Readonly<Record<string, unknown>> = { ...defaultsOf(STAGE1), perceptual: 'none' };

/** The perceptual loss of a run as its checkpoints record it: `none`, or the network's name and the hash of its weights. */
export const perceptualName = (network: FeatureNetwork | undefined) => (network ? `${network.name} ${network.id}` : 'none');

/** Throws OptionError unless `network` is one, or left out. */
export function checkPerceptual(network: FeatureNetwork | undefined): void {
  if (network !== undefined && !(typeof network === 'object' && network !== null && Array.isArray(network.layers)))
    throw new OptionError(
      `perceptual is ${shown(network)}; pass a network of features, as openLpips returns it, or leave it out.`,
    );
}

/** Throws OptionError for options that do not fit the stage, each other, the steps of the run or the size of the images. */
export function checkStage1(
  options: Required<Stage1Options> & { stage: Stage; steps: number; perceptual: string },
  size: number,
): void {
  const { stage, steps, discriminator, discStart } = options;
  const given = Object.keys(BEFORE_STAGE1).find((key) => options[key as keyof typeof options] !== BEFORE_STAGE1[key]);
  if (stage === 'model' && given)
    throw new OptionError(`${given} is for the training of a tokenizer, and this trains stage 2; leave it out.`);
  const differs = (key: keyof typeof options) => options[key] !== BEFORE_STAGE1[key];
  if (options.perceptual === 'none' && differs('perceptualWeight'))
    throw new OptionError('perceptualWeight is given, but there is no perceptual loss; choose one, or leave it out.');
  if (discriminator === 'none') {
    const idle = (['discStart', 'discWeight', 'discChannels', 'adaptive'] as const).find(differs);
    if (idle) throw new OptionError(`${idle} is given, but there is no discriminator; choose one, or leave it out.`);
    return;
  }
  if (discStart >= steps)
    throw new OptionError(
      `discStart is ${discStart}, and the run ends after ${steps} steps, so that the discriminator would never be used; start it ` +
        'earlier, train longer, or leave it out.',
    );
  DISCRIMINATORS[discriminator].trees(size, options.discChannels);
}
