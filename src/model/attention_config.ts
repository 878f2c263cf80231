/** The configuration of attention layers, which is read before the code of the layers themselves is loaded (extra_layers.ts). */
import type { Fields } from './fields.js';
import type { MixerConfig } from './mixer.js';

/** The largest `head_dim`, for which the kernels have memory. */
const MOST_HEAD_DIM = 256;

/** The fields of `attn_cfg`, with their defaults filled in. */
export interface AttentionConfig extends MixerConfig {
  readonly layer: 'Attention';
  readonly num_heads: number;
  /** Heads of keys and values. Each serves num_heads / num_heads_kv heads of queries. */
  readonly num_heads_kv: number;
  readonly head_dim: number;
  readonly qkv_proj_bias: boolean;
  readonly out_proj_bias: boolean;
  /** Factor of the products of queries and keys. */
  readonly softmax_scale: number;
}

/** Reads `attn_cfg`. Throws CheckpointError with the name of an invalid field. */
export function parseAttention(attn: Fields, d_model: number): AttentionConfig {
  for (const field of ['d_conv', 'mlp_dim', 'rotary_emb_dim'])
    if ((attn.get(field) ?? 0) !== 0)
      attn.fail(field, '0 (attention here has no convolution, MLP or rotary embedding of its own)');
  if (attn.get('causal') !== true) attn.fail('causal', 'true (tokens are drawn one after the other)');
  const num_heads = attn.int('num_heads');
  const num_heads_kv = attn.int('num_heads_kv', { fallback: num_heads });
  if (num_heads % num_heads_kv) attn.fail('num_heads_kv', `a divisor of num_heads, which is ${num_heads}`);
  const given = (attn.get('head_dim') ?? undefined) !== undefined;
  if (!given && d_model % num_heads)
    attn.fail('num_heads', `a divisor of d_model, which is ${d_model}, where head_dim is not given`);
  const head_dim = attn.int('head_dim', { fallback: d_model / num_heads, most: MOST_HEAD_DIM });
  return {
    layer: 'Attention',
    d_model,
    num_heads,
    num_heads_kv,
    head_dim,
    qkv_proj_bias: attn.flag('qkv_proj_bias', true),
    out_proj_bias: attn.flag('out_proj_bias', true),
    softmax_scale: attn.positive('softmax_scale', head_dim ** -0.5),
  };
}

/** A short description, e.g. '12 heads of 64'. */
export const attentionSummary = (c: AttentionConfig) =>
  `${c.num_heads} heads of ${c.head_dim}${c.num_heads_kv === c.num_heads ? '' : `, ${c.num_heads_kv} of keys and values`}`;
