/** The table of mixers, by the name in `ssm_cfg.layer`. A new one is a file and a line in mixer_list.ts. */
import type { Fields } from './fields.js';
import type { Mixer, MixerConfig } from './mixer.js';
import * as list from './mixer_list.js';

export const MIXERS = { ...list };

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
