// H_t = exp(dt_t A) H_{t-1} + dt_t·x_t ⊗ B_t,  y_t = H_t C_t + D x_t,  dt = softplus(dt + dt_bias), A = -exp(A_log).
// xbc [m,l,c] = [x: e | B: g·n | C: g·n]; zxbcdt [m,l,s] = [… | dt: h]; A_log, dt_bias, D [h]; state [m,h,p,n]; y [m,l,e].
// Backward: dB, dC [m,l,h,n]; past, future [m,l,h,2]; grads [m,3,h]; dxbc [m,l,c]; dzxbcdt [m,l,s].
#include "lib/softplus.wgsl"

// @entry forward
#include "lib/ssd/scalar.wgsl"
#include "lib/ssd/forward.wgsl"
@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  walk(flat(wg, nwg), lid);
}

// @entry forward_vec4
#include "lib/ssd/vec4.wgsl"
#include "lib/ssd/forward.wgsl"
@compute @workgroup_size(WG)
fn forward_vec4(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  walk(flat(wg, nwg), lid);
}

// @entry forward_step
#include "lib/ssd/vec4.wgsl"
#include "lib/ssd/step.wgsl"
@compute @workgroup_size(WG)
fn forward_step(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  take_step(flat(wg, nwg) * (WG / 32u) + lid / 32u, lid % 32u, lid);
}

// @entry backward
#include "lib/ssd/scalar.wgsl"
#include "lib/ssd/backward.wgsl"
@compute @workgroup_size(WG)
fn backward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  walk(flat(wg, nwg), lid);
}

// @entry backward_vec4
#include "lib/ssd/vec4.wgsl"
#include "lib/ssd/backward.wgsl"
@compute @workgroup_size(WG)
fn backward_vec4(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  walk(flat(wg, nwg), lid);
}

// @entry backward_past
#include "lib/ssd/scalar.wgsl"
#include "lib/ssd/past.wgsl"
@compute @workgroup_size(WG)
fn backward_past(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  walk(flat(wg, nwg), lid);
}

// @entry backward_past_vec4
#include "lib/ssd/vec4.wgsl"
#include "lib/ssd/past.wgsl"
@compute @workgroup_size(WG)
fn backward_past_vec4(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  walk(flat(wg, nwg), lid);
}

// @entry backward_future
#include "lib/ssd/scalar.wgsl"
#include "lib/ssd/future.wgsl"
@compute @workgroup_size(WG)
fn backward_future(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  walk(flat(wg, nwg), lid);
}

// @entry backward_future_vec4
#include "lib/ssd/vec4.wgsl"
#include "lib/ssd/future.wgsl"
@compute @workgroup_size(WG)
fn backward_future_vec4(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  walk(flat(wg, nwg), lid);
}

// @entry backward_dt
// A thread takes one head of one sequence back along its positions. E_t = ⟨dH_t, exp(dt_t A) H_{t-1}⟩, what flows from before
// t to t or later, grows by what y_t has from before and shrinks by what x_t gives to later.
@compute @workgroup_size(WG)
fn backward_dt(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  if (at >= params.m * params.h) { return; }
  let i = at / params.h;
  let head = at % params.h;
  let A = -exp(A_log[head]);
  var E = 0.0;
  var dA = 0.0;
  var dD = 0.0;
  var dbias = 0.0;
  for (var t = params.l; t > 0u; t--) {
    let row = i * params.l + t - 1u;
    let q = (row * params.h + head) * 2u;
    let raw_at = (row + 1u) * params.s - params.h + head;
    let raw = zxbcdt[raw_at] + dt_bias[head];
    let dt = softplus(raw);
    E += past[q] - dt * future[q];
    // Nothing above rounding crosses here: drop what rounding has gathered in the sum, which a large dt would magnify.
    if (dt * A < -16.0) { E = 0.0; }
    // forward: H = exp(dt A) H' + dt x ⊗ B  ⇒  dA += dt E, d(dt) = A E + x·dH B
    dA += dt * E;
    // forward: dt = softplus(raw)  ⇒  draw = d(dt)·σ(raw)
    let draw = (A * E + future[q + 1u]) / (1.0 + exp(-raw));
    dzxbcdt[raw_at] = draw;
    dbias += draw;
    // forward: y = … + D x  ⇒  dD += dy·x
    dD += past[q + 1u];
  }
  // forward: A = -exp(A_log)  ⇒  dA_log = A·dA
  grads[(i * 3u) * params.h + head] = A * dA;
  grads[(i * 3u + 1u) * params.h + head] = dD;
  grads[(i * 3u + 2u) * params.h + head] = dbias;
}

// @entry backward_sum
@compute @workgroup_size(WG)
fn backward_sum(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let o = flat(wg, nwg) * WG + lid;
  let gn = params.ngroups * params.n;
  let rows = params.m * params.l;
  if (o < rows * gn) {
    let row = o / gn;
    let heads = params.h / params.ngroups;
    let q = o % gn;
    let first = (row * params.h + q / params.n * heads) * params.n + q % params.n;
    var toB = 0.0;
    var toC = 0.0;
    for (var k = 0u; k < heads; k++) {
      toB += dB[first + k * params.n];
      toC += dC[first + k * params.n];
    }
    dxbc[(row + 1u) * params.c - 2u * gn + q] = toB;
    dxbc[(row + 1u) * params.c - gn + q] = toC;
  } else if (o < rows * gn + params.h) {
    let head = o - rows * gn;
    var sum = vec3f();
    for (var i = 0u; i < params.m; i++) {
      let at = i * 3u * params.h + head;
      sum += vec3f(grads[at], grads[at + params.h], grads[at + 2u * params.h]);
    }
    dA_log[head] += sum.x;
    dD[head] += sum.y;
    ddt_bias[head] += sum.z;
  }
}
