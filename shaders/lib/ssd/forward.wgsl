fn position(step: u32) -> u32 { return step; }
fn decay_at(row: u32, t: u32, head: u32) -> f32 { return exp(-exp(A_log_at(head)) * dt_at(row, head)); }
// forward: H = exp(dt A) H' + dt x ⊗ B, y = H C + D x
fn source_at(row: u32, head: u32, r: u32) -> Source {
  let x = xbc_scalar(row * params.c + head * params.headdim + r);
  return Source(dt_at(row, head) * x, 1.0, D_at(head) * x);
}
fn key_at(row: u32) -> u32 { return B_at(row); }
fn query_at(row: u32) -> u32 { return C_at(row); }
fn finish(row: u32, column: u32, value: f32) { y_put(row * params.e + column, value); }
fn first_H(at: u32) -> V {
  if (params.has_state == 1u) { return state_at(at); }
  return V();
}
fn last_H(at: u32, H: V) { if (params.has_state == 1u) { state_put(at, H); } }
#include "rows.wgsl"
