// y = (x - mean)/√(var + eps)·weight + bias over each group of channels. If swish is 1, SiLU is applied to the result.
// The first pass computes the mean of each group and the sum of squared distances from it over each of PARTS ranges of pixels.
// The other passes use these moments. Neighbouring threads take neighbouring channels, LANES at a time, then the next pixel.

fn stretch(part: u32) -> vec2u {
  let length = (params.s + PARTS - 1u) / PARTS;
  return min(vec2u(part, part + 1u) * length, vec2u(params.s));
}

// @entry moments, 256 threads
// @in x: f32 [b, s, c]
// @out parts: vec2f [b, GROUPS, PARTS]
fn x4(i: u32) -> vec4f { return vec4f(x_at(i)); }

// A workgroup takes HELD groups, which have COLUMNS vectors. A group with more channels than a workgroup can take is alone in it.
const SPAN = min(COLUMNS, 256u);
const ROWS = 256u / SPAN;
const DEPTH = 8u;
var<workgroup> counts: array<f32, 256>;
var<workgroup> means: array<vec4f, 256>;
var<workgroup> squares: array<vec4f, 256>;

fn moments(wg: vec3u, lid: u32) {
  let width = params.c / GROUPS;
  let pixel = params.c / LANES;
  let pixels = stretch(wg.x);
  var count = 0.0;
  var mean = vec4f();
  var square = vec4f();
  for (var lap = 0u; lap < MOST; lap++) {
    let column = (lid % SPAN) + lap * SPAN;
    if (!(column < COLUMNS)) { break; }
    let at = wg.z * COLUMNS + column;
    if (lid >= SPAN * ROWS || at >= pixel) { break; }
    for (var lap = 0u; lap < MOST; lap++) {
      let p = (pixels.x + lid / SPAN) + lap * (DEPTH * ROWS);
      if (!(p < pixels.y)) { break; }
      var v = array<vec4f, DEPTH>();
      var sum = vec4f();
      let inside = min(DEPTH, (pixels.y - p + ROWS - 1u) / ROWS);
      for (var q = 0u; q < DEPTH; q++) {
        if (q < inside) { v[q] = x4((wg.y * params.s + p + q * ROWS) * pixel + at); } else { v[q] = vec4f(); }
        sum += v[q];
      }
      let n = f32(inside);
      let middle = sum / n;
      var around = vec4f();
      for (var q = 0u; q < DEPTH; q++) {
        let d = v[q] - middle;
        if (q < inside) { around += d * d; }
      }
      let d = middle - mean;
      let share = n / (count + n);
      mean += d * share;
      square += around + d * d * (count * share);
      count += n;
    }
  }
  counts[lid % 256u] = count;
  means[lid % 256u] = mean;
  squares[lid % 256u] = square;
  workgroupBarrier();
  let channels = min(width, 256u * LANES);
  for (var lap = 0u; lap < MOST; lap++) { let held = lid + lap * 256u; if (!(held < HELD)) { break; }
    let group = wg.z * HELD + held;
    if (group >= GROUPS) { break; }
    var sum = 0.0;
    for (var lap = 0u; lap < MOST; lap++) {
      let ch = (held * width) + lap;
      if (!(ch < held * width + channels)) { break; }
      for (var lap = 0u; lap < MOST; lap++) { let r = (ch / LANES) + lap * SPAN; if (!(r < SPAN * ROWS)) { break; } sum += counts[r % 256u] * means[r % 256u][ch % LANES]; }
    }
    let middle = sum / f32((pixels.y - pixels.x) * width);
    var around = 0.0;
    for (var lap = 0u; lap < MOST; lap++) {
      let ch = (held * width) + lap;
      if (!(ch < held * width + channels)) { break; }
      for (var lap = 0u; lap < MOST; lap++) {
        let r = (ch / LANES) + lap * SPAN;
        if (!(r < SPAN * ROWS)) { break; }
        let d = means[r % 256u][ch % LANES] - middle;
        around += squares[r % 256u][ch % LANES] + counts[r % 256u] * d * d;
      }
    }
    // An empty range of pixels has no weight.
    parts_put((wg.y * GROUPS + group) * PARTS + wg.x, select(vec2f(), vec2f(middle, around), pixels.y > pixels.x));
  }
}

// @entry forward, 256 threads
// @in x: f32 [b, s, c]
// @in weight: f32 [c]
// @in bias: f32 [c]
// @in parts: vec2f [b, GROUPS, PARTS]
// @out y: f32 [b, s, c]
#include "lib/group_norm.wgsl"
#include "lib/group_norm_forward.wgsl"
fn put(i: u32, v: vec4f) { y_put(i, v.x); }

fn forward(wg: vec3u, lid: u32) {
  normalise(wg, lid);
}

// @entry forward_vec4, 256 threads
// @in x: f32 [b, s, c]
// @in weight: f32 [c]
// @in bias: f32 [c]
// @in parts: vec2f [b, GROUPS, PARTS]
// @out y: f32 [b, s, c]
#include "lib/group_norm.wgsl"
#include "lib/group_norm_forward.wgsl"
fn put(i: u32, v: vec4f) { y_put(i, v); }

fn forward_vec4(wg: vec3u, lid: u32) {
  normalise(wg, lid);
}

// @entry slopes, 256 threads
// @in x: f32 [b, s, c]
// @in weight: f32 [c]
// @in bias: f32 [c]
// @in dy: f32 [b, s, c]
// @in parts: vec2f [b, GROUPS, PARTS]
// @out channels: f32 [b, PARTS, 2, c]
// forward: v = unit·weight + bias  ⇒  dweight += dv·unit, dbias += dv, here over one range of an image's pixels
#include "lib/group_norm.wgsl"
#include "lib/group_norm_slope.wgsl"
var<workgroup> of_weight: array<vec4f, 256>;
var<workgroup> of_bias: array<vec4f, 256>;

fn slopes(wg: vec3u, lid: u32) {
  gather(wg.y, lid);
  let pixels = stretch(wg.x);
  for (var lap = 0u; lap < (COLUMNS + SPAN - 1u) / SPAN; lap++) { let first = lap * SPAN;
    let column = first + lid % SPAN;
    var dw = vec4f();
    var db = vec4f();
    if (lid < SPAN * ROWS && column < COLUMNS) {
      let m = moments_of(column);
      let w = weight4(column);
      let shift = bias4(column);
      for (var lap = 0u; lap < MOST; lap++) {
        let p = (pixels.x + lid / SPAN) + lap * ROWS;
        if (!(p < pixels.y)) { break; }
        let at = (wg.y * params.s + p) * COLUMNS + column;
        let unit = (x4(at) - m.mean) * m.rstd;
        let d = dv(at, unit * w + shift);
        dw += d * unit;
        db += d;
      }
    }
    workgroupBarrier();
    of_weight[lid % 256u] = dw;
    of_bias[lid % 256u] = db;
    workgroupBarrier();
    if (lid < SPAN && column < COLUMNS) {
      for (var lap = 0u; lap < MOST; lap++) {
        let r = (lid + SPAN) + lap * SPAN;
        if (!(r < SPAN * ROWS)) { break; }
        dw += of_weight[r % 256u];
        db += of_bias[r % 256u];
      }
      let o = ((wg.y * PARTS + wg.x) * 2u * COLUMNS + column) * LANES;
      for (var q = 0u; q < LANES; q++) {
        channels_put(o + q, dw[q]);
        channels_put(o + params.c + q, db[q]);
      }
    }
  }
}

// @entry collect, 256 threads
// @in weight: f32 [c]
// @in channels: f32 [b, PARTS, 2, c]
// @out sums: vec2f [b, GROUPS]
// @inout dweight: f32 [b, c]
// @inout dbias: f32 [b, c]
// Adds up the ranges of pixels. This gives dweight and dbias and, for each group, mean(dunit·unit) and mean(dunit) with
// dunit = dv·weight.
var<workgroup> of_weight: array<f32, 256>;
var<workgroup> of_bias: array<f32, 256>;

fn collect(wg: vec3u, lid: u32) {
  let width = params.c / GROUPS;
  var first = 0.0;
  var second = 0.0;
  for (var lap = 0u; lap < MOST; lap++) { let c0 = lap * 256u; if (!(c0 < width)) { break; }
    let span = min(width - c0, 256u);
    let rows = 256u / span;
    let ch = wg.x * width + c0 + lid % span;
    var dw = 0.0;
    var db = 0.0;
    if (lid < span * rows) {
      for (var lap = 0u; lap < MOST; lap++) {
        let part = (lid / span) + lap * rows;
        if (!(part < PARTS)) { break; }
        let o = (wg.y * PARTS + part) * 2u * params.c + ch;
        dw += channels_at(o);
        db += channels_at(o + params.c);
      }
    }
    workgroupBarrier();
    of_weight[lid % 256u] = dw;
    of_bias[lid % 256u] = db;
    workgroupBarrier();
    if (lid < span) {
      for (var lap = 0u; lap < MOST; lap++) {
        let r = (lid + span) + lap * span;
        if (!(r < span * rows)) { break; }
        dw += of_weight[r % 256u];
        db += of_bias[r % 256u];
      }
      dweight_add(wg.y * params.c + ch, dw);
      dbias_add(wg.y * params.c + ch, db);
      first += db * weight_at(ch);
      second += dw * weight_at(ch);
    }
  }
  workgroupBarrier();
  of_weight[lid % 256u] = second;
  of_bias[lid % 256u] = first;
  for (var lap = 0u; lap < 32u; lap++) { let n = 128u >> lap; if (!(n > 0u)) { break; }
    workgroupBarrier();
    if (lid < n) {
      of_weight[lid % 256u] += of_weight[(lid + n) % 256u];
      of_bias[lid % 256u] += of_bias[(lid + n) % 256u];
    }
  }
  if (lid == 0u) { sums_put(wg.y * GROUPS + wg.x, vec2f(of_bias[0], of_weight[0]) / f32(params.s * width)); }
}

// @entry backward, 256 threads
// @in x: f32 [b, s, c]
// @in weight: f32 [c]
// @in bias: f32 [c]
// @in dy: f32 [b, s, c]
// @in parts: vec2f [b, GROUPS, PARTS]
// @in sums: vec2f [b, GROUPS]
// @out dx: f32 [b, s, c]
// forward: unit = (x - mean)·rstd  ⇒  dx = rstd·(dunit - mean(dunit) - unit·mean(dunit·unit))
#include "lib/group_norm.wgsl"
#include "lib/group_norm_slope.wgsl"
#include "lib/group_norm_backward.wgsl"
fn put(i: u32, v: vec4f) { dx_put(i, v.x); }

fn backward(wg: vec3u, lid: u32) {
  gradient(wg, lid);
}

// @entry backward_vec4, 256 threads
// @in x: f32 [b, s, c]
// @in weight: f32 [c]
// @in bias: f32 [c]
// @in dy: f32 [b, s, c]
// @in parts: vec2f [b, GROUPS, PARTS]
// @in sums: vec2f [b, GROUPS]
// @out dx: f32 [b, s, c]
#include "lib/group_norm.wgsl"
#include "lib/group_norm_slope.wgsl"
#include "lib/group_norm_backward.wgsl"
fn put(i: u32, v: vec4f) { dx_put(i, v); }

fn backward_vec4(wg: vec3u, lid: u32) {
  gradient(wg, lid);
}
