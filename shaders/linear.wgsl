// y[m,n] = Σₖ x[m,k]·w[n,k] (+ bias[n]) (+ residual[m,n]).
// Matrix products use one of three tiles, which src/ops/tile.ts chooses.
#optional "lib/gemv/sums.wgsl"
#optional "lib/gemv/shuffle.wgsl"
#optional "lib/gemv/shared.wgsl"

// @section tile
#include "lib/tile.wgsl"

// @section tile_wide
#include "lib/tile_wide.wgsl"

// @section tile_f16
#include "lib/tile_f16.wgsl"

// @entry forward, TILE_THREADS threads
// @in x: f32 | f16 [m, k]
// @in w: f32 | f16 [n, k]
// @in bias?: f32 [n]
// @in residual?: f32 [m, n]
// @out y: f32 | f16 [m, n]
#include "lib/linear_epilogue.wgsl"
fn a4(i: u32, k: u32) -> vec4f {
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) { if (i < params.m && k + q < params.k) { v[q] = x_at(i * params.k + k + q); } }
  return v;
}
fn b4(j: u32, k: u32) -> vec4f {
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) { if (j < params.n && k + q < params.k) { v[q] = w_at(j * params.k + k + q); } }
  return v;
}

fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  tile((wg.y + wg.z * nwg.y) * TILE, wg.x * TILE, 0u, params.k, lid);
}

// @entry forward_vec4, TILE_THREADS threads
// @in x: f32 | f16 [m, k]
// @in w: f32 | f16 [n, k]
// @in bias?: f32 [n]
// @in residual?: f32 [m, n]
// @out y: f32 | f16 [m, n]
// This entry needs k in whole vectors.
#include "lib/linear_epilogue.wgsl"
fn a4(i: u32, k: u32) -> vec4f {
  if (i >= params.m || k >= params.k) { return vec4f(); }
  return x_at((i * params.k + k) / 4u);
}
fn b4(j: u32, k: u32) -> vec4f {
  if (j >= params.n || k >= params.k) { return vec4f(); }
  return w_at((j * params.k + k) / 4u);
}

fn forward_vec4(wg: vec3u, nwg: vec3u, lid: u32) {
  tile((wg.y + wg.z * nwg.y) * TILE, wg.x * TILE, 0u, params.k, lid);
}

// @entry forward_f16, TILE_THREADS threads
// @in x: f32 | f16 [m, k]
// @in w: f32 | f16 [n, k]
// @in bias?: f32 [n]
// @in residual?: f32 [m, n]
// @out y: f32 | f16 [m, n]
// This entry needs k and n in whole vectors.
fn a4(i: u32, k: u32) -> vec4f { return x_at(i * (params.k / 4u) + k / 4u); }
fn b4(j: u32, k: u32) -> vec4f { return w_at(j * (params.k / 4u) + k / 4u); }
fn put4(i: u32, j: u32, sum: vec4f) {
  let at = i * (params.n / 4u) + j / 4u;
  var value = sum;
  if (params.has_bias == 1u) { value += bias_at(j / 4u); }
  if (params.has_residual == 1u) { value += residual_at(at); }
  y_put(at, value);
}

fn forward_f16(wg: vec3u, nwg: vec3u, lid: u32, warp: u32) {
  tile((wg.y + wg.z * nwg.y) * TILE, wg.x * TILE, params.m, params.n, 0u, params.k, warp, lid);
}

// @entry step, WG threads
// @in x: f32 | f16 [m, k]
// @in w: f32 | f16 [n, k]
// @in bias?: f32 [n]
// @in residual?: f32 [m, n]
// @out y: f32 | f16 [m, n]
// For few rows of x. w is read once, or once for every M rows.
#include "lib/linear_epilogue.wgsl"
var<private> i0: u32;
fn x4(i: u32, q: u32) -> vec4f { return x_at(min(i0 + i, params.m - 1u) * (K / 4u) + q); }

fn step(wg: vec3u, lid: u32) {
  let lane = lid % 32u;
  let row0 = (wg.x * TEAMS + lid / 32u) * R;
  i0 = wg.y * M;
  for (var s = 0u; s < STEPS; s++) { accumulate(chunks(row0, s, lane), s, lane); }
  team_sums(lane, lid);
  if (lane % COPIES == 0u) {
#repeat v EACH
    put(i0 + (held(lane) + $v) % M, row0 + (held(lane) + $v) / M, acc[$v]);
#end
  }
}

// @entry step_tile, THREADS threads
// @in x: f32 | f16 [m, k]
// @in w: f32 | f16 [n, k]
// @in bias?: f32 [n]
// @in residual?: f32 [m, n]
// @out y: f32 | f16 [m, n]
// For more rows of x, if there are no subgroups to add up the sums.
#include "lib/linear_epilogue.wgsl"
#include "lib/gemv/tile.wgsl"
fn x4(i: u32, q: u32) -> vec4f {
  if (i >= params.m || q >= params.k / 4u) { return vec4f(); }
  return x_at(i * (params.k / 4u) + q);
}
fn w4(j: u32, q: u32) -> vec4f {
  if (j >= params.n || q >= params.k / 4u) { return vec4f(); }
  return w_at(j * (params.k / 4u) + q);
}

fn step_tile(wg: vec3u, nwg: vec3u, lid: u32) {
  tile((wg.y + wg.z * nwg.y) * TILE_ROWS, wg.x * TILE_COLUMNS, lid);
}

// @entry step_alone, WG threads
// @in x: f32 | f16 [m, k]
// @in w: f32 | f16 [n, k]
// @in bias?: f32 [n]
// @in residual?: f32 [m, n]
// @out y: f32 | f16 [m, n]
// For a software GPU.
#include "lib/linear_epilogue.wgsl"
#include "lib/gemv/alone.wgsl"
fn x4(i: u32, q: u32) -> vec4f { return x_at(min(i, params.m - 1u) * (params.k / 4u) + q); }
fn w4(j: u32, q: u32) -> vec4f { return w_at(min(j, params.n - 1u) * (params.k / 4u) + q); }

fn step_alone(wg: vec3u, nwg: vec3u, lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  let across = (params.n + 3u) / 4u;
  let i = at / across * 4u;
  let j = at % across * 4u;
  if (i >= params.m) { return; }
  let sums = sums_of(i, j);
  for (var c = 0u; c < 4u; c++) {
    for (var r = 0u; r < 4u; r++) { put(i + r, j + c, sums[c][r]); }
  }
}

// @entry backward_input, TILE_THREADS threads
// @in w: f32 | f16 [n, k]
// @in dy: f32 | f16 [m, n]
// @out dx: f32 | f16 [m, k]
// forward: y[m,n] = Σₖ x[m,k]·w[n,k]  ⇒  dx[m,k] = Σₙ dy[m,n]·w[n,k]
fn a4(i: u32, n: u32) -> vec4f {
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) { if (i < params.m && n + q < params.n) { v[q] = dy_at(i * params.n + n + q); } }
  return v;
}
fn b4(j: u32, n: u32) -> vec4f {
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) { if (j < params.k && n + q < params.n) { v[q] = w_at((n + q) * params.k + j); } }
  return v;
}
fn put(i: u32, j: u32, sum: f32) {
  if (i < params.m && j < params.k) { dx_put(i * params.k + j, sum); }
}

fn backward_input(wg: vec3u, nwg: vec3u, lid: u32) {
  tile((wg.y + wg.z * nwg.y) * TILE, wg.x * TILE, 0u, params.n, lid);
}

// @entry backward_input_vec4, TILE_THREADS threads
// @in w: f32 | f16 [n, k]
// @in dy: f32 | f16 [m, n]
// @out dx: f32 | f16 [m, k]
// This entry needs n in whole vectors.
fn a4(i: u32, n: u32) -> vec4f {
  if (i >= params.m || n >= params.n) { return vec4f(); }
  return dy_at((i * params.n + n) / 4u);
}
fn b4(j: u32, n: u32) -> vec4f {
  if (j >= params.k || n >= params.n) { return vec4f(); }
  let at = n * params.k + j;
  return vec4f(w_at(at), w_at(at + params.k), w_at(at + 2u * params.k), w_at(at + 3u * params.k));
}
fn put(i: u32, j: u32, sum: f32) {
  if (i < params.m && j < params.k) { dx_put(i * params.k + j, sum); }
}

fn backward_input_vec4(wg: vec3u, nwg: vec3u, lid: u32) {
  tile((wg.y + wg.z * nwg.y) * TILE, wg.x * TILE, 0u, params.n, lid);
}

// @entry backward_input_f16, TILE_THREADS threads
// @in w: f32 | f16 [n, k]
// @in dy: f32 | f16 [m, n]
// @out dx: f32 | f16 [m, k]
#include "lib/gradient_scale.wgsl"
fn a4(i: u32, n: u32) -> vec4f { return scaled(dy_at(i * (params.n / 4u) + n / 4u)); }
fn b4(j: u32, n: u32) -> vec4f { return w_at(n * (params.k / 4u) + j / 4u); }
fn put4(i: u32, j: u32, sum: vec4f) { dx_put(i * (params.k / 4u) + j / 4u, unscaled(sum)); }

fn backward_input_f16(wg: vec3u, nwg: vec3u, lid: u32, warp: u32) {
  tile((wg.y + wg.z * nwg.y) * TILE, wg.x * TILE, params.m, params.k, 0u, params.n, warp, lid);
}

// @entry backward_weight, TILE_THREADS threads
// @in x: f32 | f16 [m, k]
// @in dy: f32 | f16 [m, n]
// @inout dw: f32 [p, n, k]
// @inout dbias?: f32 [p, n]
// forward: y[m,n] = Σₖ x[m,k]·w[n,k] + bias[n]  ⇒  dw[n,k] += Σₘ dy[m,n]·x[m,k], dbias[n] += Σₘ dy[m,n]
// Each of the p values of z takes one chunk of the rows.
#include "lib/linear_gradient.wgsl"
fn column(m: u32, j: u32) -> f32 {
  if (m >= end || j >= params.n) { return 0.0; }
  return dy_at(m * params.n + j);
}
// Four rows are loaded at once if chunks are multiples of four rows.
fn a4(i: u32, m: u32) -> vec4f {
  var v: vec4f;
  if (WHOLE == 1u) {
    if (m >= end || i >= params.n) { return v; }
    let at = m * params.n + i;
    return vec4f(dy_at(at), dy_at(at + params.n), dy_at(at + 2u * params.n), dy_at(at + 3u * params.n));
  }
  for (var q = 0u; q < 4u; q++) { v[q] = column(m + q, i); }
  return v;
}
fn b4(j: u32, m: u32) -> vec4f {
  var v: vec4f;
  if (WHOLE == 1u) {
    if (m >= end || j >= params.k) { return v; }
    let at = m * params.k + j;
    return vec4f(x_at(at), x_at(at + params.k), x_at(at + 2u * params.k), x_at(at + 3u * params.k));
  }
  for (var q = 0u; q < 4u; q++) { if (j < params.k && m + q < end) { v[q] = x_at((m + q) * params.k + j); } }
  return v;
}
fn put(i: u32, j: u32, sum: f32) {
  if (i < params.n && j < params.k) { dw_add((part * params.n + i) * params.k + j, sum); }
}

fn backward_weight(wg: vec3u, lid: u32) {
  let rows = chunk(wg.z);
  tile(wg.y * TILE, wg.x * TILE, rows.x, rows.y, lid);
  put_bias(wg, rows, lid);
}

// @entry backward_weight_f16, TILE_THREADS threads
// @in x: f32 | f16 [m, k]
// @in dy: f32 | f16 [m, n]
// @inout dw: f32 [p, n, k]
// @inout dbias?: f32 [p, n]
#include "lib/linear_gradient.wgsl"
#include "lib/gradient_scale.wgsl"
fn column(m: u32, j: u32) -> f32 {
  if (m >= end || j >= params.n) { return 0.0; }
  return dy_scalar(m * params.n + j);
}
fn a4(i: u32, m: u32) -> vec4f { return scaled(dy_at(m * (params.n / 4u) + i / 4u)); }
fn b4(j: u32, m: u32) -> vec4f { return x_at(m * (params.k / 4u) + j / 4u); }
fn put4(i: u32, j: u32, sum: vec4f) { dw_add((part * params.n + i) * (params.k / 4u) + j / 4u, unscaled(sum)); }

fn backward_weight_f16(wg: vec3u, lid: u32, warp: u32) {
  let rows = chunk(wg.z);
  tile(wg.y * TILE, wg.x * TILE, params.n, params.k, rows.x, rows.y, warp, lid);
  put_bias(wg, rows, lid);
}
