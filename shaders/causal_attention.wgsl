// y[i] = Σⱼ softmaxⱼ(q[i]·k[j]·scale)·v[j] over positions j ≤ i. Heads of queries, keys and values are in qkv, earlier positions in
// the cache. Where several rows are computed, a workgroup takes 16 of one head, and the others 64 at a time.

// @entry forward_step, WG threads
// @in qkv: f32 [m, l, n, c]
// @inout keys?: f32 [m, t, g, c]
// @inout values?: f32 [m, t, g, c]
// @in step?: u32 [b]
// @out y: f32 [m, l, h, c]
// @out lse?: f32 [m, h, l]
#include "lib/scalar.wgsl"
#include "lib/causal_step.wgsl"
fn forward_step(wg: vec3u, nwg: vec3u, lid: u32) {
  attend(flat(wg, nwg), lid);
}

// @entry forward_step_vec4, WG threads
// @in qkv: f32 [m, l, n, c]
// @inout keys?: f32 [m, t, g, c]
// @inout values?: f32 [m, t, g, c]
// @in step?: u32 [b]
// @out y: f32 [m, l, h, c]
// @out lse?: f32 [m, h, l]
#include "lib/vec4.wgsl"
#include "lib/causal_step.wgsl"
fn forward_step_vec4(wg: vec3u, nwg: vec3u, lid: u32) {
  attend(flat(wg, nwg), lid);
}

// @entry forward, 256 threads
// @in qkv: f32 [m, l, n, c]
// @inout keys?: f32 [m, t, g, c]
// @inout values?: f32 [m, t, g, c]
// @in step?: u32 [b]
// @out y: f32 [m, l, h, c]
// @out lse?: f32 [m, h, l]
// The softmax is computed block by block with a running maximum.
#include "lib/attention_blocks.wgsl"
const LEAST = -3e38;
/// Rows of four that a thread sums.
const EACH = COLUMNS / 64u;
var<private> image: u32;
var<private> head: u32;
var<private> past: u32;
fn rows(which: u32) -> u32 { return select(past + params.l, params.l, which == Q); }
fn fetch(which: u32, row: u32, e: u32) -> f32 {
  if (which == Q) { return qkv_at(((image * params.l + row) * params.n + head) * params.c + e); }
  let g = (params.n - params.h) / 2u;
  let served = head * g / params.h;
  if (row >= past) {
    let first = params.h + select(g, 0u, which == K) + served;
    return qkv_at(((image * params.l + row - past) * params.n + first) * params.c + e);
  }
  let at = ((image * params.t + row) * g + served) * params.c + e;
  if (which == K) { return keys_at(at); }
  return values_at(at);
}

fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let which = wg.y + wg.z * nwg.y;
  if (which >= params.m * params.h) { return; }
  image = which / params.h;
  head = which % params.h;
  var start = 0u;
  if (params.has_step == 1u) { start = min(step_at(which / params.h % params.b), params.t - params.l); }
  past = start;
  let i0 = wg.x * 16u;
  let end = start + min(i0 + 16u, params.l);
  let key = lid % 64u;
  let four = lid / 64u;
  let e = lid % COLUMNS;
  let own = lid / COLUMNS * EACH;
  let reach = vec4u(start + i0 + four * 4u) + vec4u(0u, 1u, 2u, 3u);
  var most: array<vec4f, EACH>;
  for (var n = 0u; n < EACH; n++) { most[n] = vec4f(LEAST); }
  var mass = vec4f();
  var sums: array<vec4f, EACH>;
  for (var lap = 0u; lap < MOST; lap++) { let j0 = lap * 64u; if (!(j0 < end)) { break; }
    let score = products(Q, K, i0, j0, lid) * params.scale;
    let seen = vec4u(j0 + key) <= reach;
    weights[lid] = select(vec4f(LEAST), score, seen);
    maxima(lid);
    for (var n = 0u; n < EACH; n++) {
      var m = most[n];
      for (var q = 0u; q < 8u; q++) { m = max(m, partial[(own + n) * 64u + q]); }
      let shrink = exp(most[n] - m);
      sums[n] *= shrink;
      if (own + n == four) {
        let p = select(vec4f(), exp(weights[lid] - m), seen);
        mass = mass * shrink + p;
        weights[lid] = p;
      }
      most[n] = m;
    }
    workgroupBarrier();
    if (e < params.c) {
      for (var j = 0u; j < MOST; j++) { if (!(j < min(64u, end - j0))) { break; }
        let value = fetch(V, j0 + j, e);
        for (var n = 0u; n < EACH; n++) { sums[n] += weights[(own + n) * 64u + j] * value; }
      }
    }
    workgroupBarrier();
  }
  add_up(mass, lid);
  for (var n = 0u; n < EACH; n++) {
    let all = partial[(own + n) * 64u];
    let value = sums[n] / all;
    let total = most[n] + log(all);
    for (var r = 0u; r < 4u; r++) {
      let i = i0 + (own + n) * 4u + r;
      if (i < params.l && e < params.c) { y_put(((image * params.l + i) * params.h + head) * params.c + e, value[r]); }
      if (i < params.l && e == 0u && params.has_lse == 1u) { lse_put(which * params.l + i, total[r]); }
    }
  }
  // The first of the heads that share keys and values stores them. Other workgroups do not read these positions.
  let g = (params.n - params.h) / 2u;
  if (params.has_keys == 1u && head % (params.h / g) == 0u) {
    for (var lap = 0u; lap < MOST; lap++) { let q = lid + lap * 256u; if (!(q < 16u * params.c)) { break; }
      let i = i0 + q / params.c;
      if (i < params.l) {
        let at = ((image * params.t + past + i) * g + head * g / params.h) * params.c + q % params.c;
        keys_put(at, fetch(K, past + i, q % params.c));
        values_put(at, fetch(V, past + i, q % params.c));
      }
    }
  }
}

// @entry backward_query, 256 threads
// @in qkv: f32 [m, l, n, c]
// @in y: f32 [m, l, h, c]
// @in lse: f32 [m, h, l]
// @in dy: f32 [m, l, h, c]
// @out dqkv: f32 [m, l, n, c]
// @out along: f32 [m, h, l]
// Computes the gradient of the queries, and along = dy·y. With s = q·k·scale and p = exp(s - lse):
// forward: y[i] = Σⱼ pᵢⱼ·v[j]  ⇒  dpᵢⱼ = dy[i]·v[j];  p = softmax(s)  ⇒  dsᵢⱼ = pᵢⱼ·(dpᵢⱼ - dy[i]·y[i])
// forward: s = q·k·scale  ⇒  dq[i] = Σⱼ dsᵢⱼ·k[j]·scale
#include "lib/attention_blocks.wgsl"
#include "lib/causal_backward.wgsl"
var<workgroup> sixteenths: array<f32, 256>;

fn backward_query(wg: vec3u, nwg: vec3u, lid: u32) {
  let which = wg.y + wg.z * nwg.y;
  if (which >= params.m * params.h) { return; }
  image = which / params.h;
  head = which % params.h;
  served = head * ((params.n - params.h) / 2u) / params.h;
  let i0 = wg.x * 16u;
  let end = min(i0 + 16u, params.l);
  let key = lid % 64u;
  let four = lid / 64u;
  let e = lid % COLUMNS;
  let own = lid / COLUMNS * EACH;
  let row = i0 + lid / 16u;
  var share = 0.0;
  if (row < params.l) {
    let at = ((image * params.l + row) * params.h + head) * params.c;
    for (var lap = 0u; lap < MOST; lap++) { let q = (lid % 16u) + lap * 16u; if (!(q < params.c)) { break; } share += dy_at(at + q) * y_at(at + q); }
  }
  sixteenths[lid] = share;
  workgroupBarrier();
  var outer = vec4f();
  var total = vec4f();
  for (var r = 0u; r < 4u; r++) {
    for (var q = 0u; q < 16u; q++) { outer[r] += sixteenths[(four * 4u + r) * 16u + q]; }
    let i = i0 + four * 4u + r;
    if (i < params.l) {
      total[r] = lse_at(which * params.l + i);
      if (key == 0u) { along_put(which * params.l + i, outer[r]); }
    }
  }
  let reach = vec4u(i0 + four * 4u) + vec4u(0u, 1u, 2u, 3u);
  var sums: array<vec4f, EACH>;
  for (var lap = 0u; lap < MOST; lap++) { let j0 = lap * 64u; if (!(j0 < end)) { break; }
    let p = exp(products(Q, K, i0, j0, lid) * params.scale - total);
    let dp = products(DY, V, i0, j0, lid);
    weights[lid] = select(vec4f(), p * (dp - outer) * params.scale, vec4u(j0 + key) <= reach);
    workgroupBarrier();
    if (e < params.c) {
      for (var j = 0u; j < MOST; j++) { if (!(j < min(64u, end - j0))) { break; }
        let value = fetch(K, j0 + j, e);
        for (var n = 0u; n < EACH; n++) { sums[n] += weights[(own + n) * 64u + j] * value; }
      }
    }
    workgroupBarrier();
  }
  for (var n = 0u; n < EACH; n++) {
    for (var r = 0u; r < 4u; r++) {
      let i = i0 + (own + n) * 4u + r;
      if (i < params.l && e < params.c) { dqkv_put(((image * params.l + i) * params.n + head) * params.c + e, sums[n][r]); }
    }
  }
}

// @entry backward_key, 256 threads
// @in qkv: f32 [m, l, n, c]
// @in lse: f32 [m, h, l]
// @in dy: f32 [m, l, h, c]
// @in along: f32 [m, h, l]
// @out dqkv: f32 [m, l, n, c]
// Computes the gradients of keys and values, summed over the heads of queries that they serve.
// forward: y[i] = Σⱼ pᵢⱼ·v[j]  ⇒  dv[j] = Σᵢ pᵢⱼ·dy[i]
// forward: s = q·k·scale  ⇒  dk[j] = Σᵢ dsᵢⱼ·q[i]·scale, with p and ds as in backward_query
#include "lib/attention_blocks.wgsl"
#include "lib/causal_backward.wgsl"

fn backward_key(wg: vec3u, nwg: vec3u, lid: u32) {
  let g = (params.n - params.h) / 2u;
  let which = wg.y + wg.z * nwg.y;
  if (which >= params.m * g) { return; }
  image = which / g;
  served = which % g;
  let group = params.h / g;
  let j0 = wg.x * 16u;
  let four = lid / 64u;
  let e = lid % COLUMNS;
  let own = lid / COLUMNS * EACH;
  let keys = vec4u(j0 + four * 4u) + vec4u(0u, 1u, 2u, 3u);
  var of_k: array<vec4f, EACH>;
  var of_v: array<vec4f, EACH>;
  for (var q = 0u; q < MOST; q++) { if (!(q < group)) { break; }
    head = served * group + q;
    // Queries before the first key do not see it.
    for (var lap = 0u; lap < MOST; lap++) {
      let i0 = (j0 / 64u * 64u) + lap * 64u;
      if (!(i0 < params.l)) { break; }
      let score = products(K, Q, j0, i0, lid) * params.scale;
      let dp = products(V, DY, j0, i0, lid);
      let i = i0 + lid % 64u;
      let at = (image * params.h + head) * params.l + min(i, params.l - 1u);
      let seen = keys <= vec4u(i);
      let p = select(vec4f(), exp(score - lse_at(at)), seen);
      weights[lid] = p;
      partial[lid] = select(vec4f(), p * (dp - along_at(at)) * params.scale, seen);
      workgroupBarrier();
      if (e < params.c) {
        for (var n = 0u; n < MOST; n++) { if (!(n < min(64u, params.l - i0))) { break; }
          let dy = fetch(DY, i0 + n, e);
          let query = fetch(Q, i0 + n, e);
          for (var k = 0u; k < EACH; k++) {
            of_v[k] += weights[(own + k) * 64u + n] * dy;
            of_k[k] += partial[(own + k) * 64u + n] * query;
          }
        }
      }
      workgroupBarrier();
    }
  }
  for (var k = 0u; k < EACH; k++) {
    for (var r = 0u; r < 4u; r++) {
      let j = j0 + (own + k) * 4u + r;
      if (j < params.l && e < params.c) {
        let at = ((image * params.l + j) * params.n + params.h + served) * params.c + e;
        dqkv_put(at, of_k[k][r]);
        dqkv_put(at + g * params.c, of_v[k][r]);
      }
    }
  }
}
