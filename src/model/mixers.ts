/** The table of mixers, by the name in `ssm_cfg.layer`. Only this file knows which mixers exist. */
import type { Fields } from './fields.js';
import { mamba1 } from './mamba1.js';
import { mamba2 } from './mamba2.js';
import type { Mixer, MixerConfig } from './mixer.js';

export const MIXERS = {
  Mamba1: mamba1,
  Mamba2: mamba2,
};

export type MixerName = keyof typeof MIXERS;
/** The configuration of any mixer. */
export type AnyMixerConfig = ReturnType<(typeof MIXERS)[MixerName]['parse']>;

export const MIXER_NAMES = Object.keys(MIXERS) as MixerName[];

/** The mixer that a configuration belongs to. */
export const mixerOf = ({ layer }: MixerConfig): Mixer => MIXERS[layer as MixerName];

/** Reads `ssm_cfg`. A file that names no mixer means Mamba1, as in the authors' code. */
export const parseMixer = (ssm: Fields, d_model: number): AnyMixerConfig =>
  MIXERS[ssm.choice('layer', Object.keys(MIXERS) as MixerName[], 'Mamba1')].parse(ssm, d_model);

/** The mixer of layer i and its configuration. Currently all layers of a model have the same mixer. */
export function layerMixer({ mixer: config }: { mixer: AnyMixerConfig }, _i: number): { mixer: Mixer; config: MixerConfig } {
  return { mixer: mixerOf(config), config };
}
