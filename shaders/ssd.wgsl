// H_t = exp(dt_t A) H_{t-1} + dt_t·x_t ⊗ B_t,  y_t = H_t C_t + D x_t,  dt = softplus(dt + dt_bias), A = -exp(A_log).
// xbc [m,l,c] = [x: e | B: g·n | C: g·n]; zxbcdt [m,l,s] = [… | dt: h]; A_log, dt_bias, D [h]; state [m,h,p,n]; y [m,l,e].
#include "lib/softplus.wgsl"

// @entry forward
// Any n: one state element at a time.
alias V = f32;
const WIDTH = 1u;
fn x_at(i: u32) -> f32 { return xbc[i]; }
fn total(v: f32) -> f32 { return v; }
#include "lib/ssd_forward.wgsl"

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  scan(flat(wg, nwg), lid);
}

// @entry forward_vec4
// n and e divide by 4: xbc and state in whole vectors.
alias V = vec4f;
const WIDTH = 4u;
fn x_at(i: u32) -> f32 { return xbc[i / 4u][i % 4u]; }
fn total(v: vec4f) -> f32 { return dot(v, vec4f(1.0)); }
#include "lib/ssd_forward.wgsl"

@compute @workgroup_size(WG)
fn forward_vec4(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  scan(flat(wg, nwg), lid);
}
