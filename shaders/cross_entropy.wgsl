// loss[r] = lse[r] - logits[r,targets[r]],  lse = log Σ exp(logits)

// @entry forward
#include "lib/scalar.wgsl"
#include "lib/cross_entropy.wgsl"
fn largest(v: V) -> f32 { return v; }
fn element(at: u32) -> f32 { return logits[at]; }
@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  row_loss(flat(wg, nwg), lid);
}

// @entry forward_vec4
#include "lib/vec4.wgsl"
#include "lib/cross_entropy.wgsl"
fn largest(v: V) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }
fn element(at: u32) -> f32 { return logits[at / 4u][at % 4u]; }
@compute @workgroup_size(256)
fn forward_vec4(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  row_loss(flat(wg, nwg), lid);
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
