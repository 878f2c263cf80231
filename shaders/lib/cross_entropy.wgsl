// A workgroup takes one row and reads it once. Each thread updates its largest logit and the sum of exponentials relative to it.
#include "workgroup_sum.wgsl"
#include "workgroup_max.wgsl"
fn row_loss(row: u32, lid: u32) {
  let live = row < params.r;
  let width = params.v / WIDTH;
  let at = row * width;
  var most = -3.4e38;
  var sum = 0.0;
  for (var lap = 0u; lap < MOST; lap++) {
    let j = lid + lap * 256u;
    if (!(j < select(0u, width, live))) { break; }
    let v = logits_at(at + j);
    let more = max(most, largest(v));
    sum = sum * exp(most - more) + total(exp(v - more));
    most = more;
  }
  let all = workgroup_max(most, lid);
  sum = workgroup_sum(sum * exp(most - all), lid);
  if (live && lid == 0u) {
    let log_sum = log(sum);
    lse_put(row, all + log_sum);
    loss_put(row, all - logits_scalar(row * params.v + min(targets_at(row), params.v - 1u)) + log_sum);
  }
}
