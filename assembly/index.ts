// One line per op; the TypeScript specs in src/ops give every export its arguments:
// tensor addresses in the spec's order (0 for an absent optional one), dims, attributes, scratch.
export { attention_backward_key, attention_backward_query, attention_forward } from './attention';
export { codebook_lookup_forward } from './codebook_lookup';
export { conv2d_backward_input, conv2d_backward_weight, conv2d_forward } from './conv2d';
export { group_norm_backward, group_norm_forward } from './group_norm';
export { linear_backward_input, linear_backward_weight, linear_forward } from './linear';
export { quantize_backward, quantize_forward } from './quantize';
export { silu_forward } from './silu';
export { sum_parts_forward } from './sum_parts';

export function heap_base(): usize {
  return __heap_base;
}
