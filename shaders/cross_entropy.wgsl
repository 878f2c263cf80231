// loss[r] = lse[r] - logits[r,targets[r]],  lse = log Σ exp(logits)

// @entry forward, 256 threads
// @in logits: f32 [r, v]
// @in targets: u32 [r]
// @out loss: f32 [r]
// @out lse: f32 [r]
#include "lib/scalar.wgsl"
#include "lib/cross_entropy.wgsl"
fn largest(v: V) -> f32 { return v; }
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  row_loss(flat(wg, nwg), lid);
}

// @entry forward_vec4, 256 threads
// @in logits: f32 [r, v]
// @in targets: u32 [r]
// @out loss: f32 [r]
// @out lse: f32 [r]
#include "lib/vec4.wgsl"
#include "lib/cross_entropy.wgsl"
fn largest(v: V) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }
fn forward_vec4(wg: vec3u, nwg: vec3u, lid: u32) {
  row_loss(flat(wg, nwg), lid);
}

// @entry backward, WG threads
// @in logits: f32 [r, v]
// @in targets: u32 [r]
// @in lse: f32 [r]
// @in loss_scale?: f32 [2]
// @out dlogits: f32 [r, v]
// forward: loss = log Σ exp(logits) - logits[target]  ⇒  dlogits = (softmax(logits) - onehot(target))·scale
#include "lib/loss_scale.wgsl"
fn backward(wg: vec3u, nwg: vec3u, lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  if (at >= params.r * params.v) { return; }
  let row = at / params.v;
  let hit = f32(at % params.v == min(targets_at(row), params.v - 1u));
  dlogits_put(at, (exp(logits_at(at) - lse_at(row)) - hit) * scale_of(params.scale));
}

// @entry backward_vec4, WG threads
// @in logits: f32 [r, v]
// @in targets: u32 [r]
// @in lse: f32 [r]
// @in loss_scale?: f32 [2]
// @out dlogits: f32 [r, v]
#include "lib/loss_scale.wgsl"
fn backward_vec4(wg: vec3u, nwg: vec3u, lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  let width = params.v / 4u;
  if (at >= params.r * width) { return; }
  let row = at / width;
  let j = vec4u(at % width * 4u) + vec4u(0u, 1u, 2u, 3u);
  let hit = vec4f(j == vec4u(min(targets_at(row), params.v - 1u)));
  dlogits_put(at, (exp(logits_at(at) - lse_at(row)) - hit) * scale_of(params.scale));
}
