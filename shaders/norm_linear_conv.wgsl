// sum = res + gate·x;  u = RMSNorm(sum)·weight·(1 + scale) + shift;  proj = u·wᵀ;  y = SiLU(conv(proj[:, offset:])), for one
// position of m rows.
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
// @in modulation?: f32 [m, 3, d]
// @in w: f32 | f16 [n, d]
// @in taps: f32 [c, 1, k]
// @in conv_bias: f32 [c]
// @inout state?: f32 [m, c, q]
// @out sum?: f32 [m, l, d]
// @out proj: f32 [m, l, n]
// @out y: f32 [m, l, c]
// Every workgroup computes all of u, and the first one writes sum. It issues its first loads of w before that.
#include "lib/conv_step.wgsl"

fn forward(wg: vec3u, lid: u32) {
  let lane = lid % 32u;
  let row0 = (wg.x * TEAMS + lid / 32u) * R;
  var s: array<vec4f, M * PER>;
  var shift: array<vec4f, M * PER>;
  var scale: array<vec4f, M * PER>;
  for (var p = 0u; p < PER; p++) {
    let q = min(p * WG + lid, QUADS - 1u);
    for (var i = 0u; i < M; i++) {
      let row = min(i, params.m - 1u);
      var v = x_at(row * QUADS + q);
      if (params.has_gate == 1u) { v *= gate_at((row * 3u + 2u) * QUADS + q); }
      if (params.has_res == 1u) { v += res_at(row * QUADS + q); }
      s[i * PER + p] = v;
      scale[i * PER + p] = vec4f(1.0);
      if (params.has_modulation == 1u) {
        shift[i * PER + p] = modulation_at(row * 3u * QUADS + q);
        scale[i * PER + p] += modulation_at((row * 3u + 1u) * QUADS + q);
      }
    }
  }
  var gain: array<vec4f, PER>;
  for (var p = 0u; p < PER; p++) { gain[p] = weight_at(min(p * WG + lid, QUADS - 1u)); }
  var ws: array<Chunks, STEPS>;
  for (var step = 0u; step < STEPS; step++) { ws[step] = chunks(row0, step, lane); }
  var steps: array<Step, EACH>;
  for (var v = 0u; v < EACH; v++) {
    let o = held(lane) + v;
    steps[v] = fetch(o % M, row0 + o / M);
  }
  for (var i = 0u; i < M; i++) {
    for (var p = 0u; p < PER; p++) {
      let q = p * WG + lid;
      let v = s[i * PER + p];
      if (q < QUADS) {
        squares[i] = dot_add(v, v, squares[i]);
        if (params.has_sum == 1u && wg.x == 0u && i < params.m) { sum_put(i * QUADS + q, v); }
      }
    }
  }
  workgroup_squares(lid);
  for (var i = 0u; i < M; i++) {
    let r = 1.0 / sqrt(squares[i] / f32(params.d) + params.eps);
    for (var p = 0u; p < PER; p++) {
      let q = p * WG + lid;
      if (q < QUADS) { keep4(i, q, fma(s[i * PER + p] * r * gain[p], scale[i * PER + p], shift[i * PER + p])); }
    }
  }
  workgroupBarrier();
  for (var step = 0u; step < STEPS; step++) { accumulate(ws[step], step, lane); }
  team_sums(lane, lid);
  if (lane % COPIES == 0u) {
    for (var v = 0u; v < EACH; v++) {
      let o = held(lane) + v;
      put(o % M, row0 + o / M, acc[v], steps[v]);
    }
  }
}
