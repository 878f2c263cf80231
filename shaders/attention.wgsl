// y[i] = Σⱼ softmaxⱼ(q[i]·k[j]·c^-½)·v[j]. Forward is two matrix products, and all scores are stored between them (`scores`,
// `softmax`, `mix`). If there are too many scores, or they are not whole vectors, `forward` works block by block. Backward always
// does.
const LEAST = -3e38;

// @entry scores, 256 threads
// @in q: f32 [b, s, c]
// @in k: f32 [b, s, c]
// @out table: f32 [b, s, s]
#include "lib/tile.wgsl"
var<private> image: u32;
fn a4(i: u32, e: u32) -> vec4f {
  if (i >= params.s || e >= params.c) { return vec4f(); }
  return q_at(((image * params.s + i) * params.c + e) / 4u);
}
fn b4(j: u32, e: u32) -> vec4f {
  if (j >= params.s || e >= params.c) { return vec4f(); }
  return k_at(((image * params.s + j) * params.c + e) / 4u);
}
fn put(i: u32, j: u32, sum: f32) {
  if (i < params.s && j < params.s) { table_put((image * params.s + i) * params.s + j, sum * inverseSqrt(f32(params.c))); }
}

fn scores(wg: vec3u, lid: u32) {
  image = wg.z;
  tile(wg.y * TILE, wg.x * TILE, 0u, params.c, lid);
}

// @entry softmax, 64 threads
// @inout table: f32 [b, s, s]
// A workgroup takes one query.
var<workgroup> lanes: array<f32, 64>;
fn together(value: f32, lid: u32, largest: bool) -> f32 {
  workgroupBarrier();
  let own = lid % 64u;
  lanes[own] = value;
  for (var lap = 0u; lap < 32u; lap++) { let n = 32u >> lap; if (!(n > 0u)) { break; }
    workgroupBarrier();
    if (own < n) {
      let other = lanes[(own + n) % 64u];
      lanes[own] = select(lanes[own] + other, max(lanes[own], other), largest);
    }
  }
  workgroupBarrier();
  return lanes[0];
}

fn softmax(wg: vec3u, nwg: vec3u, lid: u32) {
  let row = flat(wg, nwg);
  if (row >= params.b * params.s) { return; }
  let s4 = params.s / 4u;
  var most = vec4f(LEAST);
  for (var lap = 0u; lap < MOST; lap++) { let j = lid + lap * 64u; if (!(j < s4)) { break; } most = max(most, table_at(row * s4 + j)); }
  let m = together(max(max(most.x, most.y), max(most.z, most.w)), lid, true);
  var mass = vec4f();
  for (var lap = 0u; lap < MOST; lap++) { let j = lid + lap * 64u; if (!(j < s4)) { break; } mass += exp(table_at(row * s4 + j) - m); }
  let total = together(mass.x + mass.y + mass.z + mass.w, lid, false);
  for (var lap = 0u; lap < MOST; lap++) { let j = lid + lap * 64u; if (!(j < s4)) { break; } table_put(row * s4 + j, exp(table_at(row * s4 + j) - m) / total); }
}

// @entry mix, 256 threads
// @in table: f32 [b, s, s]
// @in v: f32 [b, s, c]
// @out y: f32 [b, s, c]
#include "lib/tile.wgsl"
var<private> image: u32;
fn a4(i: u32, j: u32) -> vec4f {
  if (i >= params.s || j >= params.s) { return vec4f(); }
  return table_at(((image * params.s + i) * params.s + j) / 4u);
}
fn b4(e: u32, j: u32) -> vec4f {
  if (e >= params.c || j >= params.s) { return vec4f(); }
  let at = (image * params.s + j) * params.c + e;
  return vec4f(v_at(at), v_at(at + params.c), v_at(at + 2u * params.c), v_at(at + 3u * params.c));
}
fn put(i: u32, e: u32, sum: f32) {
  if (i < params.s && e < params.c) { y_put((image * params.s + i) * params.c + e, sum); }
}

fn mix(wg: vec3u, lid: u32) {
  image = wg.z;
  tile(wg.y * TILE, wg.x * TILE, 0u, params.s, lid);
}

// @entry forward, 256 threads
// @in q: f32 [b, s, c]
// @in k: f32 [b, s, c]
// @in v: f32 [b, s, c]
// @out y: f32 [b, s, c]
// The softmax is computed block by block with a running maximum.
#include "lib/attention_blocks.wgsl"
var<private> first: u32;
fn rows(which: u32) -> u32 { return params.s; }
fn fetch(which: u32, row: u32, e: u32) -> f32 {
  let at = (first + row) * params.c + e;
  if (which == Q) { return q_at(at); }
  return k_at(at);
}

fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let batch = wg.y + wg.z * nwg.y;
  if (batch >= params.b) { return; }
  let base = batch * params.s;
  first = base;
  let i0 = wg.x * 16u;
  let key = lid % 64u;
  let four = lid / 64u;
  let scale = inverseSqrt(f32(params.c));
  var most = array<vec4f, 4>(vec4f(LEAST), vec4f(LEAST), vec4f(LEAST), vec4f(LEAST));
  var mass = vec4f();
  var sums: array<vec4f, 4 * CHANNELS>;
  for (var lap = 0u; lap < MOST; lap++) { let j0 = lap * 64u; if (!(j0 < params.s)) { break; }
    let score = products(Q, K, i0, j0, lid) * scale;
    let inside = j0 + key < params.s;
    weights[lid] = select(vec4f(LEAST), score, inside);
    maxima(lid);
    for (var g = 0u; g < 4u; g++) {
      var m = most[g];
      for (var n = 0u; n < 8u; n++) { m = max(m, partial[g * 64u + n]); }
      let shrink = exp(most[g] - m);
      for (var ch = 0u; ch < CHANNELS; ch++) { sums[g * CHANNELS + ch] *= shrink; }
      if (g == four) {
        let p = select(vec4f(), exp(weights[lid] - m), inside);
        mass = mass * shrink + p;
        weights[lid] = p;
      }
      most[g] = m;
    }
    workgroupBarrier();
    for (var j = 0u; j < MOST; j++) { if (!(j < min(64u, params.s - j0))) { break; }
      for (var ch = 0u; ch < CHANNELS; ch++) {
        let e = ch * 256u + lid;
        if (e < params.c) {
          let value = v_at((base + j0 + j) * params.c + e);
          for (var g = 0u; g < 4u; g++) { sums[g * CHANNELS + ch] += weights[g * 64u + j] * value; }
        }
      }
    }
    workgroupBarrier();
  }
  add_up(mass, lid);
  for (var g = 0u; g < 4u; g++) {
    for (var ch = 0u; ch < CHANNELS; ch++) {
      let e = ch * 256u + lid;
      let value = sums[g * CHANNELS + ch] / partial[g * 64u];
      for (var n = 0u; n < 4u; n++) {
        let i = i0 + g * 4u + n;
        if (i < params.s && e < params.c) { y_put((base + i) * params.c + e, value[n]); }
      }
    }
  }
}

// @entry backward_query, 256 threads
// @in q: f32 [b, s, c]
// @in k: f32 [b, s, c]
// @in v: f32 [b, s, c]
// @in y: f32 [b, s, c]
// @in dy: f32 [b, s, c]
// @out dq: f32 [b, s, c]
// @out stats: f32 [b, 2, s]
// stats[0] = log Σⱼ exp(sᵢⱼ) with s = q·k·c^-½, and stats[1] = dy·y. With p = exp(s - stats[0]):
// forward: y[i] = Σⱼ pᵢⱼ·v[j]  ⇒  dpᵢⱼ = dy[i]·v[j];  p = softmax(s)  ⇒  dsᵢⱼ = pᵢⱼ·(dpᵢⱼ - dy[i]·y[i])
// forward: s = q·k·c^-½  ⇒  dq[i] = Σⱼ dsᵢⱼ·k[j]·c^-½
#include "lib/attention_blocks.wgsl"
var<private> first: u32;
fn rows(which: u32) -> u32 { return params.s; }
fn fetch(which: u32, row: u32, e: u32) -> f32 {
  let at = (first + row) * params.c + e;
  if (which == Q) { return q_at(at); }
  if (which == K) { return k_at(at); }
  if (which == V) { return v_at(at); }
  return dy_at(at);
}

var<workgroup> sixteenths: array<f32, 256>;

fn backward_query(wg: vec3u, nwg: vec3u, lid: u32) {
  let batch = wg.y + wg.z * nwg.y;
  if (batch >= params.b) { return; }
  let base = batch * params.s;
  first = base;
  let i0 = wg.x * 16u;
  let key = lid % 64u;
  let four = lid / 64u;
  let scale = inverseSqrt(f32(params.c));
  // The maximum of the scores of this thread's keys, and Σ exp(score - maximum).
  var most = vec4f(LEAST);
  var mass = vec4f();
  for (var lap = 0u; lap < MOST; lap++) { let j0 = lap * 64u; if (!(j0 < params.s)) { break; }
    let score = products(Q, K, i0, j0, lid) * scale;
    if (j0 + key < params.s) {
      let m = max(most, score);
      mass = mass * exp(most - m) + exp(score - m);
      most = m;
    }
  }
  weights[lid] = most;
  partial[lid] = mass;
  for (var lap = 0u; lap < 32u; lap++) { let n = 32u >> lap; if (!(n > 0u)) { break; }
    workgroupBarrier();
    if (key < n) {
      let other = weights[lid + n];
      let m = max(most, other);
      partial[lid] = partial[lid] * exp(most - m) + partial[lid + n] * exp(other - m);
      weights[lid] = m;
      most = m;
    }
  }
  var along = 0.0;
  if (i0 + lid / 16u < params.s) {
    let row = (base + i0 + lid / 16u) * params.c;
    for (var lap = 0u; lap < MOST; lap++) { let e = (lid % 16u) + lap * 16u; if (!(e < params.c)) { break; } along += dy_at(row + e) * y_at(row + e); }
  }
  sixteenths[lid] = along;
  workgroupBarrier();
  let total = weights[four * 64u] + log(partial[four * 64u]);
  var outer = vec4f();
  for (var n = 0u; n < 4u; n++) {
    for (var l = 0u; l < 16u; l++) { outer[n] += sixteenths[(four * 4u + n) * 16u + l]; }
    let i = i0 + four * 4u + n;
    if (key == 0u && i < params.s) {
      stats_put(base * 2u + i, total[n]);
      stats_put(base * 2u + params.s + i, outer[n]);
    }
  }
  var sums: array<vec4f, 4 * CHANNELS>;
  for (var lap = 0u; lap < MOST; lap++) { let j0 = lap * 64u; if (!(j0 < params.s)) { break; }
    let p = exp(products(Q, K, i0, j0, lid) * scale - total);
    let dp = products(DY, V, i0, j0, lid);
    weights[lid] = p * (dp - outer) * scale;
    workgroupBarrier();
    for (var j = 0u; j < MOST; j++) { if (!(j < min(64u, params.s - j0))) { break; }
      for (var ch = 0u; ch < CHANNELS; ch++) {
        let e = ch * 256u + lid;
        if (e < params.c) {
          let value = k_at((base + j0 + j) * params.c + e);
          for (var g = 0u; g < 4u; g++) { sums[g * CHANNELS + ch] += weights[g * 64u + j] * value; }
        }
      }
    }
    workgroupBarrier();
  }
  for (var g = 0u; g < 4u; g++) {
    for (var ch = 0u; ch < CHANNELS; ch++) {
      let e = ch * 256u + lid;
      for (var n = 0u; n < 4u; n++) {
        let i = i0 + g * 4u + n;
        if (i < params.s && e < params.c) { dq_put((base + i) * params.c + e, sums[g * CHANNELS + ch][n]); }
      }
    }
  }
}

// @entry backward_key, 256 threads
// @in q: f32 [b, s, c]
// @in k: f32 [b, s, c]
// @in v: f32 [b, s, c]
// @in dy: f32 [b, s, c]
// @in stats: f32 [b, 2, s]
// @out dk: f32 [b, s, c]
// @out dv: f32 [b, s, c]
// forward: y[i] = Σⱼ pᵢⱼ·v[j]  ⇒  dv[j] = Σᵢ pᵢⱼ·dy[i]
// forward: s = q·k·c^-½  ⇒  dk[j] = Σᵢ dsᵢⱼ·q[i]·c^-½, with p and ds as in backward_query
#include "lib/attention_blocks.wgsl"
var<private> first: u32;
fn rows(which: u32) -> u32 { return params.s; }
fn fetch(which: u32, row: u32, e: u32) -> f32 {
  let at = (first + row) * params.c + e;
  if (which == Q) { return q_at(at); }
  if (which == K) { return k_at(at); }
  if (which == V) { return v_at(at); }
  return dy_at(at);
}

fn backward_key(wg: vec3u, nwg: vec3u, lid: u32) {
  let batch = wg.y + wg.z * nwg.y;
  if (batch >= params.b) { return; }
  let base = batch * params.s;
  first = base;
  let j0 = wg.x * 16u;
  let scale = inverseSqrt(f32(params.c));
  var of_k: array<vec4f, 4 * CHANNELS>;
  var of_v: array<vec4f, 4 * CHANNELS>;
  for (var lap = 0u; lap < MOST; lap++) { let i0 = lap * 64u; if (!(i0 < params.s)) { break; }
    let score = products(K, Q, j0, i0, lid) * scale;
    let dp = products(V, DY, j0, i0, lid);
    let i = min(i0 + lid % 64u, params.s - 1u);
    let p = exp(score - stats_at(base * 2u + i));
    weights[lid] = p;
    partial[lid] = p * (dp - stats_at(base * 2u + params.s + i)) * scale;
    workgroupBarrier();
    for (var n = 0u; n < MOST; n++) { if (!(n < min(64u, params.s - i0))) { break; }
      for (var ch = 0u; ch < CHANNELS; ch++) {
        let e = ch * 256u + lid;
        if (e < params.c) {
          let at = (base + i0 + n) * params.c + e;
          for (var g = 0u; g < 4u; g++) {
            of_v[g * CHANNELS + ch] += weights[g * 64u + n] * dy_at(at);
            of_k[g * CHANNELS + ch] += partial[g * 64u + n] * q_at(at);
          }
        }
      }
    }
    workgroupBarrier();
  }
  for (var g = 0u; g < 4u; g++) {
    for (var ch = 0u; ch < CHANNELS; ch++) {
      let e = ch * 256u + lid;
      for (var n = 0u; n < 4u; n++) {
        let j = j0 + g * 4u + n;
        if (j < params.s && e < params.c) {
          dk_put((base + j) * params.c + e, of_k[g * CHANNELS + ch][n]);
          dv_put((base + j) * params.c + e, of_v[g * CHANNELS + ch][n]);
        }
      }
    }
  }
}
