/** Parses config.json of a checkpoint (the authors' flat form with our addition `vq_config`) and fills in defaults. */
import { CheckpointError } from '../core/errors.js';
import { type AnyConditionConfig, parseCondition } from './conditions.js';
import { Fields } from './fields.js';
import { type LayerMixers, type MixerName, parseMixers } from './mixers.js';
import { type AnyTokenizerConfig, parseTokenizer, tokenizerOf } from './tokenizers.js';
import type { VqConfigJson } from './vq_tokenizer.js';

export { VQ_F16 } from './vq_tokenizer.js';

/** The fields of config.json. The names are the authors'. */
export interface AimConfigJson {
  /** Width; `expand` × d_model must be a multiple of `headdim`. */
  d_model: number;
  /** Number of layers. */
  n_layer: number;
  /** Number of different tokens: `n_embed` of the tokenizer. */
  vocab_size: number;
  num_classes: number;
  /** Tokens of an image, a square number. The side of an image in pixels is √num_tokens × 2^(ch_mult.length − 1). */
  num_tokens: number;
  /** The mixer's name and its own fields. */
  ssm_cfg?: {
    layer?: MixerName;
    d_state?: number;
    d_conv?: number;
    expand?: number;
    headdim?: number;
    ngroups?: number;
    [other: string]: unknown;
  };
  /** Layers, from 0, whose mixer is attention. */
  attn_layer_idx?: number[];
  /** Their attention. `causal` must be true. */
  attn_cfg?: {
    num_heads?: number;
    /** Heads of keys and values, by default as many as `num_heads`, which must be a multiple. */
    num_heads_kv?: number;
    /** By default d_model / num_heads. */
    head_dim?: number;
    qkv_proj_bias?: boolean;
    out_proj_bias?: boolean;
    /** By default 1/√head_dim. */
    softmax_scale?: number;
    causal?: boolean;
    [other: string]: unknown;
  };
  /** Above 0: every layer has a gated MLP of this width, rounded up to a multiple of 128. */
  d_intermediate?: number;
  /** True if layers share the vectors that the class sets (adaLN) in `num_groups` groups; else each layer has its own. */
  adaln_group?: boolean;
  num_groups?: number;
  /** The tokenizer; by default VQ-f16. */
  vq_config?: Partial<VqConfigJson> & { [other: string]: unknown };
  [other: string]: unknown;
}

/** The configuration of a model. Names follow config.json. */
export interface AimConfig extends LayerMixers {
  d_model: number;
  n_layer: number;
  /** V, the number of the tokenizer's codes. */
  vocab_size: number;
  /** K. Class K is the unconditional one. */
  num_classes: number;
  /** T, a square number. Tokens fill the image in raster order. */
  num_tokens: number;
  /** 0: every layer has its own adaLN. G ≥ 1: G groups share it, and layer i uses group i mod G. */
  adaln_groups: number;
  /** Width of the gated MLP that follows every layer's mixer; 0 if there is none. */
  mlp_hidden: number;
  condition: AnyConditionConfig;
  tokenizer: AnyTokenizerConfig;
  /** Side of a drawn image in pixels. */
  image_size: number;
  /** The fields of the file, to be written unchanged when the model is saved. */
  json: AimConfigJson;
}

/** Checks a parsed config.json. Throws CheckpointError with the field, its value and what is accepted. */
export function parseConfig(json: unknown, name = 'config.json'): AimConfig {
  const c = Fields.of(json, name);
  // Saving the checkpoint writes these fields again, so they must survive JSON.stringify.
  if (!isWritable(json))
    throw new CheckpointError(`${name}: its fields are nested too deeply to be written again; remove what is nested.`);
  if (c.get('rms_norm') === false) c.fail('rms_norm', 'true');
  if (c.get('tie_embeddings') === false) c.fail('tie_embeddings', 'true');

  const d_model = c.int('d_model');
  const num_tokens = c.int('num_tokens');
  const side = Math.sqrt(num_tokens);
  if (!Number.isInteger(side))
    c.fail('num_tokens', 'a square number (an image has √num_tokens × 2^(levels of ch_mult − 1) pixels a side)');
  const vocab_size = c.int('vocab_size');
  const tokenizer = parseTokenizer(c.object('vq_config'));
  const codes = tokenizerOf(tokenizer).vocabulary(tokenizer);
  if (codes !== vocab_size) c.fail('vocab_size', `the tokenizer's number of codes, ${codes}`);
  const n_layer = c.int('n_layer', { most: 4096 });
  const condition = parseCondition(c);

  return {
    d_model,
    n_layer,
    vocab_size,
    num_classes: condition.num_classes,
    num_tokens,
    adaln_groups: c.flag('adaln_group', false) ? c.int('num_groups', { fallback: 1 }) : 0,
    ...parseMixers(c, d_model, n_layer),
    // The authors' code rounds it up.
    mlp_hidden: 128 * Math.ceil(c.int('d_intermediate', { fallback: 0, least: 0 }) / 128),
    condition,
    tokenizer,
    image_size: side * tokenizerOf(tokenizer).factor(tokenizer),
    json: json as AimConfigJson,
  };
}

function isWritable(json: unknown): boolean {
  try {
    JSON.stringify(json);
    return true;
  } catch {
    return false;
  }
}
