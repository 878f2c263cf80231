fn position(step: u32) -> u32 { return params.l - 1u - step; }
// The decay between t and t + 1. Walking backwards, the first step has no later position.
fn decay_at(row: u32, t: u32, head: u32) -> f32 {
  if (t + 1u == params.l) { return 0.0; }
  return exp(-exp(A_log_at(head)) * dt_at(row + 1u, head));
}
// forward: y = H C + D x          ⇒  dH += dy ⊗ C, dx = D dy
// forward: H = … + dt x ⊗ B       ⇒  dx += dt dH B
fn source_at(row: u32, head: u32, r: u32) -> Source {
  let g = dy_at(row * params.e + head * params.headdim + r);
  return Source(g, dt_at(row, head), D_at(head) * g);
}
fn key_at(row: u32) -> u32 { return C_at(row); }
fn query_at(row: u32) -> u32 { return B_at(row); }
fn finish(row: u32, column: u32, value: f32) { dxbc_put(row * params.c + column, value); }
fn first_H(at: u32) -> V { return V(); }
fn last_H(at: u32, H: V) {}
#include "rows.wgsl"
