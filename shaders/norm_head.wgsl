// n = RMSNorm(res + gate·x)·weight;  u = RMSNorm(n)·outer·(1 + scale) + shift;  logits = u·wᵀ, for the last position of m rows.
// With guidance, y = u + (c - u)·guidance, where c and u are the logits of the conditional first half and the unconditional
// second half of the rows. Without guidance, y is the logits.
#optional "lib/gemv/sums.wgsl"
#optional "lib/gemv/shuffle.wgsl"
#optional "lib/gemv/shared.wgsl"
#optional "lib/gemv/norm.wgsl"
#optional "lib/norm/shuffle.wgsl"
#optional "lib/norm/shared.wgsl"

// @entry forward, WG threads
// @in x: f32 [m, l, d]
// @in res?: f32 [m, l, d]
// @in gate?: f32 [m, 3, d]
// @in weight: f32 [d]
// @in outer: f32 [d]
// @in modulation: f32 [m, 2, d]
// @in w: f32 | f16 [n, d]
// @out y: f32 [b, l, n]
// Every workgroup computes all of u. It issues its first loads of w before that.
var<workgroup> logits: array<f32, TEAMS * NV>;

fn forward(wg: vec3u, lid: u32) {
  let lane = lid % 32u;
  let team = lid / 32u;
  let row0 = wg.x * TEAMS * R + team * R;
  var ws: array<Chunks, STEPS>;
  for (var step = 0u; step < STEPS; step++) { ws[step] = chunks(row0, step, lane); }
  var s: array<vec4f, M * PER>;
  for (var i = 0u; i < M; i++) {
    let row = min(i, params.m - 1u);
    for (var p = 0u; p < PER; p++) {
      let q = p * WG + lid;
      if (q >= QUADS) { continue; }
      var v = x_at(row * QUADS + q);
      if (params.has_gate == 1u) { v *= gate_at((row * 3u + 2u) * QUADS + q); }
      if (params.has_res == 1u) { v += res_at(row * QUADS + q); }
      s[i * PER + p] = v;
      squares[i] = dot_add(v, v, squares[i]);
    }
  }
  workgroup_squares(lid);
  for (var i = 0u; i < M; i++) {
    let r = 1.0 / sqrt(squares[i] / f32(params.d) + params.eps);
    squares[i] = 0.0;
    for (var p = 0u; p < PER; p++) {
      let q = p * WG + lid;
      if (q >= QUADS) { continue; }
      let v = s[i * PER + p] * r * weight_at(q);
      s[i * PER + p] = v;
      squares[i] = dot_add(v, v, squares[i]);
    }
  }
  workgroupBarrier();
  workgroup_squares(lid);
  for (var i = 0u; i < M; i++) {
    let row = min(i, params.m - 1u);
    let r = 1.0 / sqrt(squares[i] / f32(params.d) + params.eps);
    for (var p = 0u; p < PER; p++) {
      let q = p * WG + lid;
      if (q >= QUADS) { continue; }
      let shift = row * 2u * QUADS + q;
      keep4(i, q, fma(s[i * PER + p] * r * outer_at(q), 1.0 + modulation_at(shift + QUADS), modulation_at(shift)));
    }
  }
  workgroupBarrier();
  for (var step = 0u; step < STEPS; step++) { accumulate(ws[step], step, lane); }
  team_sums(lane, lid);
  if (lane % COPIES == 0u) {
    for (var v = 0u; v < EACH; v++) { logits[(team * NV + held(lane) + v) % (TEAMS * NV)] = acc[v]; }
  }
  workgroupBarrier();
  // Neighbouring threads write neighbouring logits of an image.
  for (var round = 0u; round < (TEAMS * NV + WG - 1u) / WG; round++) {
    let o = round * WG + lid;
    if (o >= TEAMS * R * params.b) { break; }
    let j = o % (TEAMS * R);
    let i = o / (TEAMS * R);
    if (wg.x * TEAMS * R + j >= N) { continue; }
    var value = logits[j * M + i % M];
    if (params.b < params.m) {
      let free = logits[j * M + (i + params.b) % M];
      value = free + (value - free) * params.scale;
    }
    y_put(i * N + wg.x * TEAMS * R + j, value);
  }
}
