// y = (x - mean)/√(var + eps)·weight + bias over the m rows of each column. The first pass sums over each of PARTS ranges of rows,
// the second adds these up, the third computes the elements. A workgroup of the first has COLUMNS columns, whose rows its lanes take
// in turn.

fn rows_of(part: u32) -> vec2u {
  let length = (params.m + PARTS - 1u) / PARTS;
  return min(vec2u(part, part + 1u) * length, vec2u(params.m));
}

// @entry moments, 256 threads
// @in x: f32 [m, c]
// @out parts: f32 [PARTS, 2, c]
// The mean of each range, and the sum of squared distances from it. Sums are of distances from the range's first row, so that they
// lose no digits to a mean far from zero.
#include "lib/lane_sum.wgsl"
fn moments(wg: vec3u, lid: u32) {
  let j = wg.x * COLUMNS + lid % COLUMNS;
  let rows = rows_of(wg.y);
  var base = 0.0;
  var sum = 0.0;
  var square = 0.0;
  if (j < params.c && rows.x < rows.y) {
    base = x_at(rows.x * params.c + j);
    for (var lap = 0u; lap < MOST; lap++) {
      let i = (rows.x + lid / COLUMNS) + lap * (256u / COLUMNS);
      if (!(i < rows.y)) { break; }
      let d = x_at(i * params.c + j) - base;
      sum += d;
      square += d * d;
    }
  }
  sum = lane_sum(sum, lid);
  square = lane_sum(square, lid);
  if (lid >= COLUMNS || j >= params.c) { return; }
  let n = max(1.0, f32(rows.y - rows.x));
  parts_put(2u * wg.y * params.c + j, base + sum / n);
  parts_put((2u * wg.y + 1u) * params.c + j, max(0.0, square - sum * sum / n));
}

// @entry join, 64 threads
// @in parts: f32 [PARTS, 2, c]
// @out mean: f32 [c]
// @out variance: f32 [c]
fn join(wg: vec3u, nwg: vec3u, lid: u32) {
  let j = flat(wg, nwg) * 64u + lid;
  if (j >= params.c) { return; }
  var sum = 0.0;
  for (var p = 0u; p < PARTS; p++) {
    let rows = rows_of(p);
    sum += f32(rows.y - rows.x) * parts_at(2u * p * params.c + j);
  }
  let middle = sum / f32(params.m);
  var square = 0.0;
  for (var p = 0u; p < PARTS; p++) {
    let rows = rows_of(p);
    let d = parts_at(2u * p * params.c + j) - middle;
    square += parts_at((2u * p + 1u) * params.c + j) + f32(rows.y - rows.x) * d * d;
  }
  mean_put(j, middle);
  variance_put(j, square / f32(params.m - 1u));
}

// @entry forward, 256 threads
// @in x: f32 [m, c]
// @in weight: f32 [c]
// @in bias: f32 [c]
// @in mean: f32 [c]
// @in variance: f32 [c]
// @out y: f32 [m, c]
#include "lib/batch_norm.wgsl"
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * 256u + lid;
  if (i >= params.m * params.c) { return; }
  let j = i % params.c;
  y_put(i, (x_at(i) - mean_at(j)) * rstd_of(j) * weight_at(j) + bias_at(j));
}

// @entry slopes, 256 threads
// @in x: f32 [m, c]
// @in mean: f32 [c]
// @in variance: f32 [c]
// @in dy: f32 [m, c]
// @out parts: f32 [PARTS, 2, c]
// forward: y = unit·weight + bias  ⇒  dbias += Σ dy, dweight += Σ dy·unit, here over one range of rows
#include "lib/batch_norm.wgsl"
#include "lib/lane_sum.wgsl"
fn slopes(wg: vec3u, lid: u32) {
  let j = wg.x * COLUMNS + lid % COLUMNS;
  let rows = rows_of(wg.y);
  var first = 0.0;
  var second = 0.0;
  if (j < params.c) {
    let rstd = rstd_of(j);
    for (var lap = 0u; lap < MOST; lap++) {
      let i = (rows.x + lid / COLUMNS) + lap * (256u / COLUMNS);
      if (!(i < rows.y)) { break; }
      let d = dy_at(i * params.c + j);
      first += d;
      second += d * (x_at(i * params.c + j) - mean_at(j)) * rstd;
    }
  }
  first = lane_sum(first, lid);
  second = lane_sum(second, lid);
  if (lid >= COLUMNS || j >= params.c) { return; }
  parts_put(2u * wg.y * params.c + j, first);
  parts_put((2u * wg.y + 1u) * params.c + j, second);
}

// @entry collect, 64 threads
// @in parts: f32 [PARTS, 2, c]
// @out sums: f32 [2, c]
// @inout dweight?: f32 [c]
// @inout dbias?: f32 [c]
fn collect(wg: vec3u, nwg: vec3u, lid: u32) {
  let j = flat(wg, nwg) * 64u + lid;
  if (j >= params.c) { return; }
  var first = 0.0;
  var second = 0.0;
  for (var p = 0u; p < PARTS; p++) {
    first += parts_at(2u * p * params.c + j);
    second += parts_at((2u * p + 1u) * params.c + j);
  }
  sums_put(j, first);
  sums_put(params.c + j, second);
  if (params.has_dbias == 1u) { dbias_add(j, first); }
  if (params.has_dweight == 1u) { dweight_add(j, second); }
}

// @entry backward, 256 threads
// @in x: f32 [m, c]
// @in weight: f32 [c]
// @in mean: f32 [c]
// @in variance: f32 [c]
// @in dy: f32 [m, c]
// @in sums: f32 [2, c]
// @out dx: f32 [m, c]
// forward: unit = (x - mean)·rstd  ⇒  dx = weight·rstd·(dy - mean(dy) - unit·mean(dy·unit))
#include "lib/batch_norm.wgsl"
fn backward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * 256u + lid;
  if (i >= params.m * params.c) { return; }
  let j = i % params.c;
  let rstd = rstd_of(j);
  let unit = (x_at(i) - mean_at(j)) * rstd;
  let d = dy_at(i) - (sums_at(j) + unit * sums_at(params.c + j)) / f32(params.m);
  dx_put(i, weight_at(j) * rstd * d);
}
