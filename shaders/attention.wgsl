// y[i] = Σⱼ softmaxⱼ(q[i]·k[j]·c^-½)·v[j].
// One workgroup per 16 queries goes through the keys 64 at a time, with the softmax's running maximum; a thread makes the
// scores of one key with four queries, then sums its channels for all 16.
// @entry forward
var<workgroup> qs: array<vec4f, 64>;
var<workgroup> ks: array<vec4f, 320>;
var<workgroup> weights: array<vec4f, 256>;
var<workgroup> partial: array<vec4f, 256>;

fn load4(base: u32, row: u32, e: u32, of_q: bool) -> vec4f {
  var value: vec4f;
  if (row >= params.s) { return value; }
  for (var n = 0u; n < 4u; n++) {
    if (e + n < params.c) {
      let at = (base + row) * params.c + e + n;
      if (of_q) { value[n] = q[at]; } else { value[n] = k[at]; }
    }
  }
  return value;
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
  var most = array<vec4f, 4>(vec4f(-3e38), vec4f(-3e38), vec4f(-3e38), vec4f(-3e38));
  var mass = vec4f();
  var sums: array<vec4f, 4 * CHANNELS>;
  for (var j0 = 0u; j0 < params.s; j0 += 64u) {
    // Scores of this thread's key with its four queries.
    var score = vec4f();
    for (var e = 0u; e < params.c; e += 16u) {
      if (lid < 64u) { qs[lid] = load4(base, i0 + lid / 4u, e + lid % 4u * 4u, true); }
      ks[lid / 4u * 5u + lid % 4u] = load4(base, j0 + lid / 4u, e + lid % 4u * 4u, false);
      workgroupBarrier();
      for (var n = 0u; n < 4u; n++) {
        let kv = ks[key * 5u + n];
        let at = four * 16u + n;
        score += vec4f(dot(qs[at], kv), dot(qs[at + 4u], kv), dot(qs[at + 8u], kv), dot(qs[at + 12u], kv));
      }
      workgroupBarrier();
    }
    let inside = j0 + key < params.s;
    weights[lid] = select(vec4f(-3e38), score * scale, inside);
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
