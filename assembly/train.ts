// What training needs besides index.ts: a binary of its own, so that a page that only draws does not load it.
export { adamw_forward } from './adamw';
export { add_rms_norm_backward, add_rms_norm_backward_gate, add_rms_norm_backward_params } from './add_rms_norm';
export { attention_backward_key, attention_backward_query } from './attention';
export { causal_conv1d_backward } from './causal_conv1d';
export { clip_forward } from './clip';
export { columns_backward } from './columns';
export { conv2d_backward_input, conv2d_backward_weight } from './conv2d';
export { cross_entropy_forward, cross_entropy_backward } from './cross_entropy';
export { ema_forward } from './ema';
export { embedding_backward } from './embedding';
export { group_modulation_backward } from './group_modulation';
export { group_norm_backward } from './group_norm';
export { linear_backward_input, linear_backward_weight } from './linear';
export { mse_forward, mse_backward } from './mse';
export { quantize_backward } from './quantize';
export { rms_norm_gated_backward } from './rms_norm_gated';
export { selective_scan_backward_states, selective_scan_backward_gate, selective_scan_backward, selective_scan_backward_sum } from './selective_scan';
export { silu_backward } from './silu';
export { square_sum_forward } from './square_sum';
export { ssd_backward, ssd_backward_sum } from './ssd';
export { sum_forward } from './sum';
export { sum_rows_forward } from './sum_rows';
export { token_embedding_backward_first, token_embedding_backward_pos, token_embedding_backward_word } from './token_embedding';

export function heap_base(): usize {
  return __heap_base;
}
