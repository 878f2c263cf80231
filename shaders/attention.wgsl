// y[i] = Σⱼ softmaxⱼ(q[i]·k[j]·c^-½)·v[j].
// A workgroup takes 16 rows (queries, or keys in backward_key) through the other side's rows, 64 at a time; a thread makes
// four products of one of these, then sums its channels for all 16.
const Q = 0u;
const K = 1u;
const V = 2u;
const DY = 3u;
const LEAST = -3e38;

var<workgroup> few: array<vec4f, 64>;
var<workgroup> many: array<vec4f, 320>;
var<workgroup> weights: array<vec4f, 256>;
var<workgroup> partial: array<vec4f, 256>;

fn load4(which: u32, base: u32, row: u32, e: u32) -> vec4f {
  var value: vec4f;
  if (row >= params.s) { return value; }
  for (var n = 0u; n < 4u; n++) {
    if (e + n < params.c) { value[n] = fetch(which, (base + row) * params.c + e + n); }
  }
  return value;
}

// Rows i0 + 4·(lid / 64) + 0..3 of a with row j0 + lid % 64 of b.
fn products(a: u32, b: u32, base: u32, i0: u32, j0: u32, lid: u32) -> vec4f {
  var sum = vec4f();
  for (var e = 0u; e < params.c; e += 16u) {
    if (lid < 64u) { few[lid] = load4(a, base, i0 + lid / 4u, e + lid % 4u * 4u); }
    many[lid / 4u * 5u + lid % 4u] = load4(b, base, j0 + lid / 4u, e + lid % 4u * 4u);
    workgroupBarrier();
    for (var n = 0u; n < 4u; n++) {
      let m = many[lid % 64u * 5u + n];
      let at = lid / 64u * 16u + n;
      sum += vec4f(dot(few[at], m), dot(few[at + 4u], m), dot(few[at + 8u], m), dot(few[at + 12u], m));
    }
    workgroupBarrier();
  }
  return sum;
}

// @entry forward
// The softmax is made block by block with a running maximum.
fn fetch(which: u32, at: u32) -> f32 {
  if (which == Q) { return q[at]; }
  return k[at];
}

@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let batch = wg.y + wg.z * nwg.y;
  if (batch >= params.b) { return; }
  let base = batch * params.s;
  let i0 = wg.x * 16u;
  let key = lid % 64u;
  let four = lid / 64u;
  let scale = inverseSqrt(f32(params.c));
  var most = array<vec4f, 4>(vec4f(LEAST), vec4f(LEAST), vec4f(LEAST), vec4f(LEAST));
  var mass = vec4f();
  var sums: array<vec4f, 4 * CHANNELS>;
  for (var j0 = 0u; j0 < params.s; j0 += 64u) {
    let score = products(Q, K, base, i0, j0, lid) * scale;
    let inside = j0 + key < params.s;
    weights[lid] = select(vec4f(LEAST), score, inside);
    // New maxima: over eight keys each, then over those.
    workgroupBarrier();
    if (key < 8u) {
      var m = weights[lid];
      for (var n = 8u; n < 64u; n += 8u) { m = max(m, weights[lid + n]); }
      partial[lid] = m;
    }
    workgroupBarrier();
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
    for (var j = 0u; j < min(64u, params.s - j0); j++) {
      for (var ch = 0u; ch < CHANNELS; ch++) {
        let e = ch * 256u + lid;
        if (e < params.c) {
          let value = v[(base + j0 + j) * params.c + e];
          for (var g = 0u; g < 4u; g++) { sums[g * CHANNELS + ch] += weights[g * 64u + j] * value; }
        }
      }
    }
    workgroupBarrier();
  }
  // The softmax's denominators: each thread has summed one key of every 64.
  partial[lid] = mass;
  for (var n = 32u; n > 0u; n /= 2u) {
    workgroupBarrier();
    if (key < n) { partial[lid] += partial[lid + n]; }
  }
  workgroupBarrier();
  for (var g = 0u; g < 4u; g++) {
    for (var ch = 0u; ch < CHANNELS; ch++) {
      let e = ch * 256u + lid;
      let value = sums[g * CHANNELS + ch] / partial[g * 64u];
      for (var n = 0u; n < 4u; n++) {
        let i = i0 + g * 4u + n;
        if (i < params.s && e < params.c) { y[(base + i) * params.c + e] = value[n]; }
      }
    }
  }
}

// @entry backward_query
// stats[0] = log Σⱼ exp(sᵢⱼ) with s = q·k·c^-½, stats[1] = dy·y; then with p = exp(s - stats[0]):
// forward: y = Σⱼ pᵢⱼ·v[j]  ⇒  dpᵢⱼ = dy[i]·v[j];  p = softmax(s)  ⇒  dsᵢⱼ = pᵢⱼ·(dpᵢⱼ - dy[i]·y[i])
// forward: s = q·k·c^-½  ⇒  dq[i] = Σⱼ dsᵢⱼ·k[j]·c^-½
fn fetch(which: u32, at: u32) -> f32 {
  if (which == Q) { return q[at]; }
  if (which == K) { return k[at]; }
  if (which == V) { return v[at]; }
  return dy[at];
}

var<workgroup> sixteenths: array<f32, 256>;

@compute @workgroup_size(256)
fn backward_query(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let batch = wg.y + wg.z * nwg.y;
  if (batch >= params.b) { return; }
  let base = batch * params.s;
  let i0 = wg.x * 16u;
  let key = lid % 64u;
  let four = lid / 64u;
  let scale = inverseSqrt(f32(params.c));
  // This thread's keys: maximum of the scores and Σ exp(score - maximum).
  var most = vec4f(LEAST);
  var mass = vec4f();
  for (var j0 = 0u; j0 < params.s; j0 += 64u) {
    let score = products(Q, K, base, i0, j0, lid) * scale;
    if (j0 + key < params.s) {
      let m = max(most, score);
      mass = mass * exp(most - m) + exp(score - m);
      most = m;
    }
  }
  weights[lid] = most;
  partial[lid] = mass;
  for (var n = 32u; n > 0u; n /= 2u) {
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
    for (var e = lid % 16u; e < params.c; e += 16u) { along += dy[row + e] * y[row + e]; }
  }
  sixteenths[lid] = along;
  workgroupBarrier();
  let total = weights[four * 64u] + log(partial[four * 64u]);
  var outer = vec4f();
  for (var n = 0u; n < 4u; n++) {
    for (var l = 0u; l < 16u; l++) { outer[n] += sixteenths[(four * 4u + n) * 16u + l]; }
    let i = i0 + four * 4u + n;
    if (key == 0u && i < params.s) {
      stats[base * 2u + i] = total[n];
      stats[base * 2u + params.s + i] = outer[n];
    }
  }
  var sums: array<vec4f, 4 * CHANNELS>;
  for (var j0 = 0u; j0 < params.s; j0 += 64u) {
    let p = exp(products(Q, K, base, i0, j0, lid) * scale - total);
    let dp = products(DY, V, base, i0, j0, lid);
    weights[lid] = p * (dp - outer) * scale;
    workgroupBarrier();
    for (var j = 0u; j < min(64u, params.s - j0); j++) {
      for (var ch = 0u; ch < CHANNELS; ch++) {
        let e = ch * 256u + lid;
        if (e < params.c) {
          let value = k[(base + j0 + j) * params.c + e];
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
        if (i < params.s && e < params.c) { dq[(base + i) * params.c + e] = sums[g * CHANNELS + ch][n]; }
      }
    }
  }
}

// @entry backward_key
// forward: y[i] = Σⱼ pᵢⱼ·v[j]  ⇒  dv[j] = Σᵢ pᵢⱼ·dy[i]
// forward: s = q·k·c^-½  ⇒  dk[j] = Σᵢ dsᵢⱼ·q[i]·c^-½, with p and ds as in backward_query
fn fetch(which: u32, at: u32) -> f32 {
  if (which == Q) { return q[at]; }
  if (which == K) { return k[at]; }
  if (which == V) { return v[at]; }
  return dy[at];
}

@compute @workgroup_size(256)
fn backward_key(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let batch = wg.y + wg.z * nwg.y;
  if (batch >= params.b) { return; }
  let base = batch * params.s;
  let j0 = wg.x * 16u;
  let scale = inverseSqrt(f32(params.c));
  var of_k: array<vec4f, 4 * CHANNELS>;
  var of_v: array<vec4f, 4 * CHANNELS>;
  for (var i0 = 0u; i0 < params.s; i0 += 64u) {
    let score = products(K, Q, base, j0, i0, lid) * scale;
    let dp = products(V, DY, base, j0, i0, lid);
    let i = min(i0 + lid % 64u, params.s - 1u);
    let p = exp(score - stats[base * 2u + i]);
    weights[lid] = p;
    partial[lid] = p * (dp - stats[base * 2u + params.s + i]) * scale;
    workgroupBarrier();
    for (var n = 0u; n < min(64u, params.s - i0); n++) {
      for (var ch = 0u; ch < CHANNELS; ch++) {
        let e = ch * 256u + lid;
        if (e < params.c) {
          let at = (base + i0 + n) * params.c + e;
          for (var g = 0u; g < 4u; g++) {
            of_v[g * CHANNELS + ch] += weights[g * 64u + n] * dy[at];
            of_k[g * CHANNELS + ch] += partial[g * 64u + n] * q[at];
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
          dk[(base + j) * params.c + e] = of_k[g * CHANNELS + ch][n];
          dv[(base + j) * params.c + e] = of_v[g * CHANNELS + ch][n];
        }
      }
    }
  }
}
