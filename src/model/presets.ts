/** Architectures by name, as data alone: a page that only chooses one does not load what parses and runs it. */
import type { AimConfigJson } from './config.js';

/**
 * The models of the paper by name (Table 1), with Mamba-2 mixers as in the authors' released models, and a Transformer with as many
 * parameters as AiM-B to compare with: attention and a gated MLP in each layer.
 */
export const PRESETS = {
  'aim-b': preset(768, 24, false, 1),
  'aim-l': preset(1024, 48, true, 4),
  'aim-xl': preset(1536, 48, true, 4),
  'aim-1b': preset(2048, 48, true, 4),
  'transformer-b': transformer(768, 12, 12, 2304),
} as const satisfies Record<string, AimConfigJson>;

function transformer(d_model: number, n_layer: number, num_heads: number, d_intermediate: number) {
  const attn_layer_idx = Array.from({ length: n_layer }, (_, i) => i);
  const attn_cfg = { num_heads, causal: true, qkv_proj_bias: false, out_proj_bias: false };
  const { ssm_cfg: _, ...stage2 } = preset(d_model, n_layer, false, 1);
  return { ...stage2, attn_layer_idx, attn_cfg, d_intermediate };
}

function preset(d_model: number, n_layer: number, adaln_group: boolean, num_groups: number) {
  const shape = { vocab_size: 16384, num_classes: 1000, num_tokens: 256, ssm_cfg: { layer: 'Mamba2' as const } };
  return { d_model, n_layer, adaln_group, num_groups, ...shape };
}
