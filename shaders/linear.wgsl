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

// @entry forward_gemv
#include "lib/linear_epilogue.wgsl"
// Few rows (m = M): LANES threads share a row of w, so that it is read once, in whole vectors, for all rows of x.
const ROWS = WG / LANES;
var<workgroup> partial: array<f32, WG * M>;

@compute @workgroup_size(WG)
fn forward_gemv(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let j0 = flat(wg, nwg) * ROWS;
  let j = j0 + lid / LANES;
  let lane = lid % LANES;
  let k4 = params.k / 4u;
  var acc: array<f32, M>;
  if (j < params.n) {
    for (var q = lane; q < k4; q += LANES) {
      let wv = w_at(j * k4 + q);
      for (var i = 0u; i < M; i++) { acc[i] += dot(wv, x[i * k4 + q]); }
    }
  }
  for (var i = 0u; i < M; i++) { partial[i * WG + lid] = acc[i]; }
  workgroupBarrier();
  for (var o = lid; o < ROWS * M; o += WG) {
    let i = o / ROWS;
    let r = o % ROWS;
    var sum = 0.0;
    for (var q = 0u; q < LANES; q++) { sum += partial[i * WG + r * LANES + q]; }
    if (j0 + r < params.n) { y[i * params.n + j0 + r] = epilogue(sum, i, j0 + r); }
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
