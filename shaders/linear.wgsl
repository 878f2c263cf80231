// y[m,n] = Σₖ x[m,k]·w[n,k] (+ bias[n]) (+ residual[m,n]).
// The matrix products take one of three tiles; src/ops/tile.ts says which.

// @entry tile
#include "lib/tile.wgsl"

// @entry tile_wide
#include "lib/tile_wide.wgsl"

// @entry tile_f16
#include "lib/tile_f16.wgsl"

// @entry forward
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

@compute @workgroup_size(TILE_THREADS)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  tile((wg.y + wg.z * nwg.y) * TILE, wg.x * TILE, 0u, params.k, lid);
}

// @entry forward_vec4
// k in whole vectors.
#include "lib/linear_epilogue.wgsl"
fn a4(i: u32, k: u32) -> vec4f {
  if (i >= params.m || k >= params.k) { return vec4f(); }
  return x[(i * params.k + k) / 4u];
}
fn b4(j: u32, k: u32) -> vec4f {
  if (j >= params.n || k >= params.k) { return vec4f(); }
  return w_at((j * params.k + k) / 4u);
}

@compute @workgroup_size(TILE_THREADS)
fn forward_vec4(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  tile((wg.y + wg.z * nwg.y) * TILE, wg.x * TILE, 0u, params.k, lid);
}

// @entry forward_f16
// k and n in whole vectors.
fn a4(i: u32, k: u32) -> vec4f { return x[i * (params.k / 4u) + k / 4u]; }
fn b4(j: u32, k: u32) -> vec4f { return w_at(j * (params.k / 4u) + k / 4u); }
fn put4(i: u32, j: u32, sum: vec4f) {
  let at = i * (params.n / 4u) + j / 4u;
  var value = sum;
  if (params.has_bias == 1u) { value += bias[j / 4u]; }
  if (params.has_residual == 1u) { value += residual[at]; }
  y[at] = value;
}

@compute @workgroup_size(TILE_THREADS)
fn forward_f16(
  @builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32, @builtin(subgroup_id) warp: u32,
) {
  tile((wg.y + wg.z * nwg.y) * TILE, wg.x * TILE, params.m, params.n, 0u, params.k, warp, lid);
}

// @entry step
// Few rows: w is read once, or once for every M of them.
#include "lib/linear_epilogue.wgsl"
var<private> i0: u32;
fn x_at(i: u32, q: u32) -> vec4f { return x[min(i0 + i, params.m - 1u) * (K / 4u) + q]; }

@compute @workgroup_size(WG)
fn step(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let lane = lid % 32u;
  let row0 = (wg.x * TEAMS + lid / 32u) * R;
  i0 = wg.y * M;
  for (var s = 0u; s < STEPS; s++) { accumulate(chunks(row0, s, lane), s, lane); }
  team_sums(lane, lid);
  if (lane % COPIES == 0u) {
    for (var v = 0u; v < EACH; v++) {
      let o = held(lane) + v;
      put(i0 + o % M, row0 + o / M, acc[v]);
    }
  }
}

// @entry step_tile
// More rows, where there are no subgroups to add up sums.
#include "lib/linear_epilogue.wgsl"
#include "lib/gemv/tile.wgsl"
fn x4(i: u32, q: u32) -> vec4f {
  if (i >= params.m || q >= params.k / 4u) { return vec4f(); }
  return x[i * (params.k / 4u) + q];
}
fn w4(j: u32, q: u32) -> vec4f {
  if (j >= params.n || q >= params.k / 4u) { return vec4f(); }
  return w_at(j * (params.k / 4u) + q);
}

@compute @workgroup_size(TILE_THREADS)
fn step_tile(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  tile((wg.y + wg.z * nwg.y) * TILE_ROWS, wg.x * TILE_COLUMNS, lid);
}

// @entry backward_input
// forward: y[m,n] = Σₖ x[m,k]·w[n,k]  ⇒  dx[m,k] = Σₙ dy[m,n]·w[n,k]
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

@compute @workgroup_size(TILE_THREADS)
fn backward_input(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  tile((wg.y + wg.z * nwg.y) * TILE, wg.x * TILE, 0u, params.n, lid);
}

// @entry backward_input_vec4
// n in whole vectors.
fn a4(i: u32, n: u32) -> vec4f {
  if (i >= params.m || n >= params.n) { return vec4f(); }
  return dy[(i * params.n + n) / 4u];
}
fn b4(j: u32, n: u32) -> vec4f {
  if (j >= params.k || n >= params.n) { return vec4f(); }
  let at = n * params.k + j;
  return vec4f(w_at(at), w_at(at + params.k), w_at(at + 2u * params.k), w_at(at + 3u * params.k));
}
fn put(i: u32, j: u32, sum: f32) {
  if (i < params.m && j < params.k) { dx[i * params.k + j] = sum; }
}

@compute @workgroup_size(TILE_THREADS)
fn backward_input_vec4(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  tile((wg.y + wg.z * nwg.y) * TILE, wg.x * TILE, 0u, params.n, lid);
}

// @entry backward_input_f16
#include "lib/gradient_scale.wgsl"
fn a4(i: u32, n: u32) -> vec4f { return scaled(dy[i * (params.n / 4u) + n / 4u]); }
fn b4(j: u32, n: u32) -> vec4f { return w_at(n * (params.k / 4u) + j / 4u); }
fn put4(i: u32, j: u32, sum: vec4f) { dx[i * (params.k / 4u) + j / 4u] = unscaled(sum); }

@compute @workgroup_size(TILE_THREADS)
fn backward_input_f16(
  @builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lid: u32, @builtin(subgroup_id) warp: u32,
) {
  tile((wg.y + wg.z * nwg.y) * TILE, wg.x * TILE, params.m, params.k, 0u, params.n, warp, lid);
}

// @entry backward_weight
// forward: y[m,n] = Σₖ x[m,k]·w[n,k] + bias[n]  ⇒  dw[n,k] += Σₘ dy[m,n]·x[m,k], dbias[n] += Σₘ dy[m,n]
// The workgroups of z = p take a chunk of the rows each.
#include "lib/linear_gradient.wgsl"
fn column(m: u32, j: u32) -> f32 {
  if (m >= end || j >= params.n) { return 0.0; }
  return dy[m * params.n + j];
}
// Four rows at once where chunks are multiples of them.
fn a4(i: u32, m: u32) -> vec4f {
  var v: vec4f;
  if (WHOLE == 1u) {
    if (m >= end || i >= params.n) { return v; }
    let at = m * params.n + i;
    return vec4f(dy[at], dy[at + params.n], dy[at + 2u * params.n], dy[at + 3u * params.n]);
  }
  for (var q = 0u; q < 4u; q++) { v[q] = column(m + q, i); }
  return v;
}
fn b4(j: u32, m: u32) -> vec4f {
  var v: vec4f;
  if (WHOLE == 1u) {
    if (m >= end || j >= params.k) { return v; }
    let at = m * params.k + j;
    return vec4f(x[at], x[at + params.k], x[at + 2u * params.k], x[at + 3u * params.k]);
  }
  for (var q = 0u; q < 4u; q++) { if (j < params.k && m + q < end) { v[q] = x[(m + q) * params.k + j]; } }
  return v;
}
fn put(i: u32, j: u32, sum: f32) {
  if (i < params.n && j < params.k) { dw[(part * params.n + i) * params.k + j] += sum; }
}

@compute @workgroup_size(TILE_THREADS)
fn backward_weight(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let rows = chunk(wg.z);
  tile(wg.y * TILE, wg.x * TILE, rows.x, rows.y, lid);
  put_bias(wg, rows, lid);
}

// @entry backward_weight_f16
#include "lib/linear_gradient.wgsl"
#include "lib/gradient_scale.wgsl"
fn column(m: u32, j: u32) -> f32 {
  if (m >= end || j >= params.n) { return 0.0; }
  return dy[(m * params.n + j) / 4u][j % 4u];
}
fn a4(i: u32, m: u32) -> vec4f { return scaled(dy[m * (params.n / 4u) + i / 4u]); }
fn b4(j: u32, m: u32) -> vec4f { return x[m * (params.k / 4u) + j / 4u]; }
fn put4(i: u32, j: u32, sum: vec4f) { dw[(part * params.n + i) * (params.k / 4u) + j / 4u] += unscaled(sum); }

@compute @workgroup_size(TILE_THREADS)
fn backward_weight_f16(
  @builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lid: u32, @builtin(subgroup_id) warp: u32,
) {
  let rows = chunk(wg.z);
  tile(wg.y * TILE, wg.x * TILE, params.n, params.k, rows.x, rows.y, warp, lid);
  put_bias(wg, rows, lid);
}
