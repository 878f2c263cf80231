/**
 * The table of mixers, by the name in `ssm_cfg.layer`. A new one is a file and a line in mixer_list.ts. Layers that
 * `attn_layer_idx` lists have attention instead.
 */
import { type AttentionConfig, attentionSummary, parseAttention } from './attention_config.js';
import type { Fields } from './fields.js';
import type { Branch, Mixer, MixerConfig } from './mixer.js';
import * as list from './mixer_list.js';

export const MIXERS = { ...list };

export type MixerName = keyof typeof MIXERS;
/** The configuration of any mixer. */
export type AnyMixerConfig = ReturnType<(typeof MIXERS)[MixerName]['parse']> | AttentionConfig;

export const MIXER_NAMES = Object.keys(MIXERS) as MixerName[];

type ExtraLayers = typeof import('./extra_layers.js');
let extra: ExtraLayers | undefined;

/** Makes attention and the MLP available. */
export function haveLayers(layers: ExtraLayers): void {
  extra = layers;
}

/** Loads the code of layers that this model has and most models do not have. Call it before anything else is done with the model. */
export async function bringLayers({
  attention,
  mlp_hidden,
}: {
  attention: object | undefined;
  mlp_hidden: number;
}): Promise<void> {
  if (attention || mlp_hidden) haveLayers(await import('./extra_layers.js'));
}

function extraLayers(): ExtraLayers {
  if (!extra) throw new Error('the model has attention or an MLP, whose code is not loaded; await bringLayers(config) first.');
  return extra;
}

/** The gated MLP, which follows a layer's mixer. */
export const mlpBranch = () => extraLayers().mlp as Branch;

/** The mixer that a configuration belongs to. */
export const mixerOf = ({ layer }: MixerConfig): Mixer =>
  layer === 'Attention' ? extraLayers().attention : MIXERS[layer as MixerName];

/** Reads `ssm_cfg`. A file that names no mixer means Mamba1, as in the authors' code. */
const parseMixer = (ssm: Fields, d_model: number) =>
  MIXERS[ssm.choice('layer', Object.keys(MIXERS) as MixerName[], 'Mamba1')].parse(ssm, d_model);

/** Which mixer each layer of a model has. */
export interface LayerMixers {
  /** The mixer of the layers without attention; where all have it, attention. */
  mixer: AnyMixerConfig;
  /** The layers with attention, in order from 0. */
  attn_layer_idx: readonly number[];
  /** Their attention, if there are any. */
  attention: AttentionConfig | undefined;
}

/** Reads `ssm_cfg`, `attn_layer_idx` and `attn_cfg`. Throws CheckpointError with the name of an invalid field. */
export function parseMixers(c: Fields, d_model: number, n_layer: number): LayerMixers {
  const listed = c.get('attn_layer_idx') ?? [];
  const isLayer = (i: unknown) => Number.isInteger(i) && (i as number) >= 0 && (i as number) < n_layer;
  if (!Array.isArray(listed) || !listed.every(isLayer))
    c.fail('attn_layer_idx', `a list of layers from 0 to ${n_layer - 1}, whose mixer is attention`);
  const attn_layer_idx = [...new Set(listed as number[])].sort((a, b) => a - b);
  const heads = attn_layer_idx.length ? parseAttention(c.object('attn_cfg'), d_model) : undefined;
  // Where every layer has attention, ssm_cfg says nothing.
  const mixer = heads && attn_layer_idx.length === n_layer ? heads : parseMixer(c.object('ssm_cfg'), d_model);
  return { mixer, attn_layer_idx, attention: heads };
}

/** The mixer of layer i and its configuration. */
export function layerMixer({ mixer, attn_layer_idx, attention: heads }: LayerMixers, i: number) {
  const config: MixerConfig = heads && attn_layer_idx.includes(i) ? heads : mixer;
  return { mixer: mixerOf(config), config };
}

/** The mixers of a model in words, e.g. ['Mamba2 × 3, d_state 128', 'Attention × 1, 4 heads of 16']. */
export function mixerSummaries({ mixer, attention, attn_layer_idx, n_layer }: LayerMixers & { n_layer: number }): string[] {
  const others = n_layer - attn_layer_idx.length;
  return [
    ...(others ? [`${mixer.layer} × ${others}, ${mixerOf(mixer).summary(mixer)}`] : []),
    ...(attention ? [`${attention.layer} × ${attn_layer_idx.length}, ${attentionSummary(attention)}`] : []),
  ];
}
