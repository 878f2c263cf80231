// One line per op; the TypeScript specs in src/ops give every export its arguments:
// tensor addresses in the spec's order (0 for an absent optional one), dims, attributes, scratch.
export { linear_forward } from './linear';
export {
  selective_scan_forward, selective_scan_backward_states, selective_scan_backward_gate, selective_scan_backward, selective_scan_backward_sum,
} from './selective_scan';
export { silu_forward } from './silu';
export { ssd_forward, ssd_backward, ssd_backward_past, ssd_backward_future, ssd_backward_dt, ssd_backward_sum } from './ssd';

export function heap_base(): usize {
  return __heap_base;
}
