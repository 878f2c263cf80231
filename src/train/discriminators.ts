/** The discriminators that a tokenizer can be trained against, by the name in the option `discriminator`. */
import type { Discriminator } from './discriminator.js';
import { patchgan } from './patchgan.js';

export const DISCRIMINATORS = { patchgan } satisfies Record<string, Discriminator>;

/** `none` trains without. */
export type DiscriminatorName = keyof typeof DISCRIMINATORS | 'none';
export const DISCRIMINATOR_NAMES = ['none', ...(Object.keys(DISCRIMINATORS) as (keyof typeof DISCRIMINATORS)[])] as const;
