// loss[r] = lse[r] - logits[r,targets[r]],  lse = log Σ exp(logits)
// @entry forward
// A workgroup per row: its largest logit, then the sum of exponentials.
#include "lib/workgroup_sum.wgsl"
#include "lib/workgroup_max.wgsl"
@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let row = flat(wg, nwg);
  let live = row < params.r;
  let at = row * params.v;
  let end = select(0u, params.v, live);
  var most = -3.4e38;
  for (var j = lid; j < end; j += 256u) { most = max(most, logits[at + j]); }
  most = workgroup_max(most, lid);
  var sum = 0.0;
  for (var j = lid; j < end; j += 256u) { sum += exp(logits[at + j] - most); }
  sum = workgroup_sum(sum, lid);
  if (live && lid == 0u) {
    let log_sum = log(sum);
    lse[row] = most + log_sum;
    loss[row] = most - logits[at + min(targets[row], params.v - 1u)] + log_sum;
  }
}

// @entry backward
// forward: loss = log Σ exp(logits) - logits[target]  ⇒  dlogits = (softmax(logits) - onehot(target))·scale
#include "lib/loss_scale.wgsl"
@compute @workgroup_size(WG)
fn backward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  if (at >= params.r * params.v) { return; }
  let row = at / params.v;
  let hit = f32(at % params.v == min(targets[row], params.v - 1u));
  dlogits[at] = (exp(logits[at] - lse[row]) - hit) * scale_of(params.scale);
}

// @entry backward_vec4
#include "lib/loss_scale.wgsl"
@compute @workgroup_size(WG)
fn backward_vec4(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  let width = params.v / 4u;
  if (at >= params.r * width) { return; }
  let row = at / width;
  let j = vec4u(at % width * 4u) + vec4u(0u, 1u, 2u, 3u);
  let hit = vec4f(j == vec4u(min(targets[row], params.v - 1u)));
  dlogits[at] = (exp(logits[at] - lse[row]) - hit) * scale_of(params.scale);
}
