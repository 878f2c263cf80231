/** config.json of a checkpoint (the authors' flat form, plus our `vq_config`), checked and with defaults filled in. */
import { CheckpointError } from '../core/errors.js';

/** Fields as they stand in config.json; names are the authors'. */
export interface AimConfigJson {
  d_model: number;
  n_layer: number;
  vocab_size: number;
  num_classes: number;
  num_tokens: number;
  ssm_cfg?: {
    layer?: 'Mamba1' | 'Mamba2';
    d_state?: number;
    d_conv?: number;
    expand?: number;
    headdim?: number;
    ngroups?: number;
  };
  adaln_group?: boolean;
  num_groups?: number;
  vq_config?: Partial<TokenizerConfigJson>;
  [other: string]: unknown;
}

export interface TokenizerConfigJson {
  ch: number;
  ch_mult: number[];
  num_res_blocks: number;
  z_channels: number;
  n_embed: number;
  embed_dim: number;
}

export interface MambaConfig {
  layer: 'Mamba1' | 'Mamba2';
  d_model: number;
  d_state: number;
  d_conv: number;
  /** expand · d_model */
  d_inner: number;
  /** Mamba-2 only */
  headdim: number;
  nheads: number;
  ngroups: number;
  /** Mamba-1 only: ⌈d_model/16⌉ */
  dt_rank: number;
}

export interface AimConfig {
  d_model: number;
  n_layer: number;
  vocab_size: number;
  /** K; row K of the class embedding is the unconditional class. */
  num_classes: number;
  /** T, a square number: tokens fill the image in raster order. */
  num_tokens: number;
  /** 0: adaLN per layer; G ≥ 1: G shared groups, layer i takes group i mod G. */
  adaln_groups: number;
  mixer: MambaConfig;
  tokenizer: TokenizerConfigJson;
  /** Side of the drawn image in pixels. */
  image_size: number;
  /** The file's own fields, to be written back unchanged. */
  json: AimConfigJson;
}

/** VQ-f16 of LlamaGen, the tokenizer of the released AiM models. */
export const VQ_F16: TokenizerConfigJson = {
  ch: 128,
  ch_mult: [1, 1, 2, 2, 4],
  num_res_blocks: 2,
  z_channels: 256,
  n_embed: 16384,
  embed_dim: 8,
};

/** The paper's models by name (Table 1), with the authors' released Mamba-2 mixers. */
export const PRESETS = {
  'aim-b': preset(768, 24, false, 1),
  'aim-l': preset(1024, 48, true, 4),
  'aim-xl': preset(1536, 48, true, 4),
  'aim-1b': preset(2048, 48, true, 4),
} as const satisfies Record<string, AimConfigJson>;

function preset(d_model: number, n_layer: number, adaln_group: boolean, num_groups: number) {
  const shape = { vocab_size: 16384, num_classes: 1000, num_tokens: 256, ssm_cfg: { layer: 'Mamba2' as const } };
  return { d_model, n_layer, adaln_group, num_groups, ...shape };
}

/** Checks a parsed config.json. Throws CheckpointError naming the field, the value and what is accepted. */
export function parseConfig(json: unknown, name = 'config.json'): AimConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new CheckpointError(`${name}: expected a JSON object with the model's configuration.`);
  const c = json as Record<string, unknown>;
  const fail = (field: string, want: string): never => {
    throw new CheckpointError(`${name}: ${field} is ${JSON.stringify(c[field])}, expected ${want}.`);
  };
  const int = (from: Record<string, unknown>, field: string, fallback?: number, most = 1 << 24): number => {
    const value = from[field] ?? fallback;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > most)
      throw new CheckpointError(`${name}: ${field} is ${JSON.stringify(from[field])}, expected an integer from 1 to ${most}.`);
    return value;
  };
  const object = (field: string): Record<string, unknown> => {
    const value = c[field] ?? {};
    if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(field, 'an object');
    return value as Record<string, unknown>;
  };

  if ((c.d_intermediate ?? 0) !== 0) fail('d_intermediate', '0 (AiM has no MLP blocks)');
  if (Array.isArray(c.attn_layer_idx) && c.attn_layer_idx.length) fail('attn_layer_idx', '[] (AiM has no attention layers)');
  if (c.rms_norm === false) fail('rms_norm', 'true');
  if (c.tie_embeddings === false) fail('tie_embeddings', 'true');

  const d_model = int(c, 'd_model');
  const num_tokens = int(c, 'num_tokens');
  const side = Math.sqrt(num_tokens);
  if (!Number.isInteger(side)) fail('num_tokens', 'a square number (tokens fill a square image)');
  const vocab_size = int(c, 'vocab_size');
  const tokenizer = parseTokenizer(object('vq_config'), int, name);
  if (tokenizer.n_embed !== vocab_size) fail('vocab_size', `the tokenizer's n_embed, ${tokenizer.n_embed}`);
  if (c.adaln_group !== undefined && typeof c.adaln_group !== 'boolean') fail('adaln_group', 'true or false');

  return {
    d_model,
    n_layer: int(c, 'n_layer', undefined, 4096),
    vocab_size,
    num_classes: int(c, 'num_classes'),
    num_tokens,
    adaln_groups: c.adaln_group ? int(c, 'num_groups', 1) : 0,
    mixer: parseMixer(object('ssm_cfg'), d_model, int, name),
    tokenizer,
    image_size: side * 2 ** (tokenizer.ch_mult.length - 1),
    json: c as unknown as AimConfigJson,
  };
}

type Int = (from: Record<string, unknown>, field: string, fallback?: number, most?: number) => number;

function parseMixer(ssm: Record<string, unknown>, d_model: number, int: Int, name: string): MambaConfig {
  const layer = ssm.layer ?? 'Mamba1';
  if (layer !== 'Mamba1' && layer !== 'Mamba2')
    throw new CheckpointError(`${name}: ssm_cfg.layer is ${JSON.stringify(layer)}, expected "Mamba1" or "Mamba2".`);
  const d_inner = int(ssm, 'expand', 2, 64) * d_model;
  const headdim = int(ssm, 'headdim', 64);
  const ngroups = int(ssm, 'ngroups', 1);
  const nheads = d_inner / headdim;
  if (layer === 'Mamba2' && (!Number.isInteger(nheads) || nheads % ngroups))
    throw new CheckpointError(
      `${name}: expand·d_model = ${d_inner} must divide into heads of headdim ${headdim}, and those into ngroups ${ngroups}.`,
    );
  return {
    layer,
    d_model,
    d_state: int(ssm, 'd_state', layer === 'Mamba2' ? 128 : 16, layer === 'Mamba2' ? 1024 : 64),
    d_conv: int(ssm, 'd_conv', 4, 8),
    d_inner,
    headdim,
    nheads,
    ngroups,
    dt_rank: Math.ceil(d_model / 16),
  };
}

function parseTokenizer(vq: Record<string, unknown>, int: Int, name: string): TokenizerConfigJson {
  const ch_mult = vq.ch_mult ?? VQ_F16.ch_mult;
  if (!Array.isArray(ch_mult) || ch_mult.length < 1 || ch_mult.length > 8 || !ch_mult.every((v) => Number.isInteger(v) && v > 0))
    throw new CheckpointError(`${name}: vq_config.ch_mult is ${JSON.stringify(ch_mult)}, expected 1 to 8 positive integers.`);
  const ch = int(vq, 'ch', VQ_F16.ch);
  if (ch_mult.some((v) => (v * ch) % GROUP_NORM_GROUPS))
    throw new CheckpointError(`${name}: vq_config.ch × ch_mult must be multiples of ${GROUP_NORM_GROUPS} (GroupNorm's groups).`);
  return {
    ch,
    ch_mult,
    num_res_blocks: int(vq, 'num_res_blocks', VQ_F16.num_res_blocks, 64),
    z_channels: int(vq, 'z_channels', VQ_F16.z_channels),
    n_embed: int(vq, 'n_embed', VQ_F16.n_embed),
    embed_dim: int(vq, 'embed_dim', VQ_F16.embed_dim),
  };
}

/** GroupNorm of the tokenizer: 32 groups, eps 1e-6. */
export const GROUP_NORM_GROUPS = 32;
