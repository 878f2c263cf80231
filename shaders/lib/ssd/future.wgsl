fn position(step: u32) -> u32 { return params.l - 1u - step; }
// The decay between t and t + 1. Walking backwards, the first step has no later position.
fn decay_at(row: u32, t: u32, head: u32) -> f32 {
  if (t + 1u == params.l) { return 0.0; }
  return exp(-exp(A_log_at(head)) * dt_at(row + 1u, head));
}
// forward: y = H C + …, H = … + dt x ⊗ B  ⇒  dH += dy ⊗ C, dB = dt dHᵀ x
fn push_of(xy: vec2f) -> f32 { return xy.y; }
fn weight_of(xy: vec2f) -> f32 { return xy.x; }
fn gain_at(row: u32, head: u32) -> f32 { return 1.0; }
fn key_at(row: u32) -> u32 { return C_at(row); }
fn query_at(row: u32) -> u32 { return B_at(row); }
fn finish(row: u32, at: u32, head: u32, value: V) { dB_put(at, dt_at(row, head) * value); }
fn finish_scalars(at: u32, mq: f32, uw: f32, kq: f32) {
  future_put(at, mq);
  future_put(at + 1u, mq + uw * kq);
}
#include "columns.wgsl"
