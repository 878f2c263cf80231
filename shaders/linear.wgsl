// y[m,n] = Σₖ x[m,k]·w[n,k] (+ bias[n]) (+ residual[m,n]).

// @entry forward
#include "lib/tile.wgsl"
#include "lib/linear_epilogue.wgsl"
fn a4(i: u32, k: u32) -> vec4f {
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) { if (i < params.m && k + q < params.k) { v[q] = x[i * params.k + k + q]; } }
  return v;
}
fn b4(j: u32, k: u32) -> vec4f {
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) { if (j < params.n && k + q < params.k) { v[q] = w_at(j * params.k + k + q); } }
  return v;
}

@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  tile((wg.y + wg.z * nwg.y) * 64u, wg.x * 64u, 0u, params.k, lid);
}

// @entry forward_vec4
// k in whole vectors.
#include "lib/tile.wgsl"
#include "lib/linear_epilogue.wgsl"
fn a4(i: u32, k: u32) -> vec4f {
  if (i >= params.m || k >= params.k) { return vec4f(); }
  return x[(i * params.k + k) / 4u];
}
fn b4(j: u32, k: u32) -> vec4f {
  if (j >= params.n || k >= params.k) { return vec4f(); }
  return w_at((j * params.k + k) / 4u);
}

@compute @workgroup_size(256)
fn forward_vec4(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  tile((wg.y + wg.z * nwg.y) * 64u, wg.x * 64u, 0u, params.k, lid);
}

// @entry shuffle
#include "lib/gemv/shuffle.wgsl"
// @entry shared
#include "lib/gemv/shared.wgsl"

// @entry forward_gemv
// Few rows: w is read once, or once for every M of them.
#include "lib/linear_epilogue.wgsl"
#include "lib/gemv/sums.wgsl"
var<private> i0: u32;
fn x_at(i: u32, q: u32) -> vec4f { return x[min(i0 + i, params.m - 1u) * (K / 4u) + q]; }

@compute @workgroup_size(WG)
fn forward_gemv(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let lane = lid % 32u;
  let row0 = (wg.x * TEAMS + lid / 32u) * R;
  i0 = wg.y * M;
  for (var step = 0u; step < STEPS; step++) { accumulate(chunks(row0, step, lane), step, lane); }
  team_sums(lane, lid);
  if (lane % COPIES == 0u) {
    for (var v = 0u; v < EACH; v++) {
      let o = held(lane) + v;
      put(i0 + o % M, row0 + o / M, acc[v]);
    }
  }
}

// @entry backward_input
// forward: y[m,n] = Σₖ x[m,k]·w[n,k]  ⇒  dx[m,k] = Σₙ dy[m,n]·w[n,k]
#include "lib/tile.wgsl"
fn a4(i: u32, n: u32) -> vec4f {
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) { if (i < params.m && n + q < params.n) { v[q] = dy[i * params.n + n + q]; } }
  return v;
}
fn b4(j: u32, n: u32) -> vec4f {
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) { if (j < params.k && n + q < params.n) { v[q] = w_at((n + q) * params.k + j); } }
  return v;
}
fn put(i: u32, j: u32, sum: f32) {
  if (i < params.m && j < params.k) { dx[i * params.k + j] = sum; }
}

@compute @workgroup_size(256)
fn backward_input(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  tile((wg.y + wg.z * nwg.y) * 64u, wg.x * 64u, 0u, params.n, lid);
}

// @entry backward_weight
// forward: y[m,n] = Σₖ x[m,k]·w[n,k] + bias[n]  ⇒  dw[n,k] += Σₘ dy[m,n]·x[m,k], dbias[n] += Σₘ dy[m,n]
// The workgroups of z = p take a chunk of the rows each.
#include "lib/tile.wgsl"
#include "lib/column_sums.wgsl"
var<private> part: u32;
var<private> end: u32;

fn column(m: u32, j: u32) -> f32 {
  if (m >= end || j >= params.n) { return 0.0; }
  return dy[m * params.n + j];
}
fn a4(i: u32, m: u32) -> vec4f {
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) { v[q] = column(m + q, i); }
  return v;
}
fn b4(j: u32, m: u32) -> vec4f {
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) { if (j < params.k && m + q < end) { v[q] = x[(m + q) * params.k + j]; } }
  return v;
}
fn put(i: u32, j: u32, sum: f32) {
  if (i < params.n && j < params.k) { dw[(part * params.n + i) * params.k + j] += sum; }
}

@compute @workgroup_size(256)
fn backward_weight(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lid: u32) {
  part = wg.z;
  let chunk = (params.m + params.p - 1u) / params.p;
  let start = min(wg.z * chunk, params.m);
  let stop = min(start + chunk, params.m);
  end = stop;
  tile(wg.y * 64u, wg.x * 64u, start, stop, lid);
  if (wg.x == 0u && params.has_dbias == 1u) {
    let sum = column_sum(wg.y * 64u, start, stop, lid);
    let j = wg.y * 64u + lid;
    if (lid < 64u && j < params.n) { dbias[part * params.n + j] += sum; }
  }
}
