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
  'transformer-b': transformer(768, 24),
} as const satisfies Record<string, AimConfigJson>;

/**
 * Fields of config.json that make a Transformer of an AiM of this width and depth, with about as many parameters: a layer of attention
 * and gated MLP has those of two Mamba layers.
 */
export function transformerLike(d_model: number, aimLayers: number) {
  const n_layer = Math.ceil(aimLayers / 2);
  const attn_layer_idx = Array.from({ length: n_layer }, (_, i) => i);
  const headDim = [64, 48, 32, 16].find((size) => d_model % size === 0) ?? d_model;
  const attn_cfg = { num_heads: d_model / headDim, causal: true, qkv_proj_bias: false, out_proj_bias: false };
  return { n_layer, attn_layer_idx, attn_cfg, d_intermediate: 3 * d_model };
}

function transformer(d_model: number, aimLayers: number) {
  const { ssm_cfg: _, ...stage2 } = preset(d_model, aimLayers, false, 1);
  return { ...stage2, ...transformerLike(d_model, aimLayers) };
}

function preset(d_model: number, n_layer: number, adaln_group: boolean, num_groups: number) {
  const shape = { vocab_size: 16384, num_classes: 1000, num_tokens: 256, ssm_cfg: { layer: 'Mamba2' as const } };
  return { d_model, n_layer, adaln_group, num_groups, ...shape };
}
