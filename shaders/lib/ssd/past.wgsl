fn position(step: u32) -> u32 { return step; }
fn decay_at(row: u32, t: u32, head: u32) -> f32 { return exp(-exp(A_log_at(head)) * dt_at(row, head)); }
// forward: H = exp(dt A) H' + dt x ⊗ B, y = H C + …  ⇒  dC = Hᵀ dy
fn push_of(xy: vec2f) -> f32 { return xy.x; }
fn weight_of(xy: vec2f) -> f32 { return xy.y; }
fn gain_at(row: u32, head: u32) -> f32 { return dt_at(row, head); }
fn key_at(row: u32) -> u32 { return B_at(row); }
fn query_at(row: u32) -> u32 { return C_at(row); }
fn finish(row: u32, at: u32, head: u32, value: V) { dC_put(at, value); }
fn finish_scalars(at: u32, mq: f32, uw: f32, kq: f32) {
  past_put(at, mq);
  past_put(at + 1u, uw);
}
#include "columns.wgsl"
