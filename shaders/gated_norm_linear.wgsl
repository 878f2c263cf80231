// v = x·SiLU(z);  g = v / √(mean(v²) + eps)·weight;  y[m,n] = g·wᵀ, for one position of m rows.
#optional "lib/gemv/sums.wgsl"
#optional "lib/gemv/shuffle.wgsl"
#optional "lib/gemv/shared.wgsl"
#optional "lib/gemv/norm.wgsl"
#optional "lib/norm/shuffle.wgsl"
#optional "lib/norm/shared.wgsl"

// @entry forward, WG threads
// @in x: f32 [m, l, e]
// @in z: f32 [m, l, s]
// @in weight: f32 [e]
// @in w: f32 | f16 [n, e]
// @out y: f32 [m, l, n]
// Every workgroup computes all of g. It issues its first loads of w before that.

fn forward(wg: vec3u, lid: u32) {
  let lane = lid % 32u;
  let row0 = (wg.x * TEAMS + lid / 32u) * R;
  var s: array<vec4f, M * PER>;
  var gates: array<vec4f, M * PER>;
  var gain: array<vec4f, PER>;
  for (var p = 0u; p < PER; p++) {
    let q = min(p * WG + lid, QUADS - 1u);
    for (var i = 0u; i < M; i++) {
      let row = min(i, params.m - 1u);
      s[i * PER + p] = x_at(row * QUADS + q);
      gates[i * PER + p] = z_at((row * params.s + params.z_offset) / 4u + q);
    }
    gain[p] = weight_at(q);
  }
  var ws: array<Chunks, STEPS>;
  for (var step = 0u; step < STEPS; step++) { ws[step] = chunks(row0, step, lane); }
  for (var i = 0u; i < M; i++) {
    for (var p = 0u; p < PER; p++) {
      let zi = gates[i * PER + p];
      let v = s[i * PER + p] * (zi / (1.0 + exp(-zi)));
      s[i * PER + p] = v;
      if (p * WG + lid < QUADS) { squares[i] = dot_add(v, v, squares[i]); }
    }
  }
  workgroup_squares(lid);
  for (var i = 0u; i < M; i++) {
    let r = 1.0 / sqrt(squares[i] / f32(params.e) + params.eps);
    for (var p = 0u; p < PER; p++) {
      let q = p * WG + lid;
      if (q < QUADS) { keep4(i, q, s[i * PER + p] * r * gain[p]); }
    }
  }
  workgroupBarrier();
  for (var step = 0u; step < STEPS; step++) { accumulate(ws[step], step, lane); }
  team_sums(lane, lid);
  if (lane % COPIES == 0u) {
    for (var v = 0u; v < EACH; v++) {
      let o = held(lane) + v;
      if (o % M < params.m && row0 + o / M < N) { y_put(o % M * N + row0 + o / M, acc[v]); }
    }
  }
}
