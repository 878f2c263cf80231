// What drawing, encoding and decoding need, one line per op; the TypeScript specs in src/ops give every export its arguments:
// tensor addresses in the spec's order (0 for an absent optional one), dims, attributes, scratch.
export { add_rms_norm_forward } from './add_rms_norm';
export { attention_forward } from './attention';
export { causal_conv1d_forward } from './causal_conv1d';
export { codebook_lookup_forward } from './codebook_lookup';
export { columns_forward } from './columns';
export { conv2d_forward } from './conv2d';
export { embedding_forward } from './embedding';
export { group_modulation_forward } from './group_modulation';
export { group_norm_forward } from './group_norm';
export { guide_forward } from './guide';
export { linear_forward } from './linear';
export { quantize_forward } from './quantize';
export { rms_norm_gated_forward } from './rms_norm_gated';
export { sample_forward } from './sample';
export { selective_scan_forward } from './selective_scan';
export { silu_forward } from './silu';
export { ssd_forward } from './ssd';
export { token_embedding_forward } from './token_embedding';
export { widen_forward } from './widen';

export function heap_base(): usize {
  return __heap_base;
}
