// One line per op; the TypeScript specs in src/ops give every export its arguments:
// tensor addresses in the spec's order (0 for an absent optional one), dims, attributes, scratch.
export {
  add_rms_norm_backward, add_rms_norm_backward_gate, add_rms_norm_backward_params, add_rms_norm_forward,
} from './add_rms_norm';
export { adamw_forward } from './adamw';
export { causal_conv1d_backward, causal_conv1d_forward } from './causal_conv1d';
export { clip_forward } from './clip';
export { cross_entropy_backward, cross_entropy_forward } from './cross_entropy';
export { ema_forward } from './ema';
export { embedding_backward, embedding_forward } from './embedding';
export { group_modulation_backward, group_modulation_forward } from './group_modulation';
export { guide_forward } from './guide';
export { linear_forward } from './linear';
export { rms_norm_gated_backward, rms_norm_gated_forward } from './rms_norm_gated';
export { sample_forward } from './sample';
export { selective_scan_forward } from './selective_scan';
export { silu_backward, silu_forward } from './silu';
export { square_sum_forward } from './square_sum';
export { ssd_forward } from './ssd';
export { sum_forward } from './sum';
export { sum_rows_forward } from './sum_rows';
export {
  token_embedding_backward_cls, token_embedding_backward_pos, token_embedding_backward_word, token_embedding_forward,
} from './token_embedding';

export function heap_base(): usize {
  return __heap_base;
}
