// v = x·SiLU(z);  g = v / √(mean(v²) + eps)·weight;  y[m,n] = g·wᵀ, one position of m rows.
// @entry shuffle
#include "lib/gemv/shuffle.wgsl"
#include "lib/norm/shuffle.wgsl"
// @entry shared
#include "lib/gemv/shared.wgsl"
#include "lib/norm/shared.wgsl"

// @entry forward
// Every workgroup makes g anew; the loads of w are on their way meanwhile.
#include "lib/gemv/sums.wgsl"
#include "lib/gemv/norm.wgsl"

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let lane = lid % 32u;
  let row0 = (wg.x * TEAMS + lid / 32u) * R;
  var s: array<vec4f, M * PER>;
  var gates: array<vec4f, M * PER>;
  var gain: array<vec4f, PER>;
  for (var p = 0u; p < PER; p++) {
    let q = min(p * WG + lid, QUADS - 1u);
    for (var i = 0u; i < M; i++) {
      let row = min(i, params.m - 1u);
      s[i * PER + p] = x[row * QUADS + q];
      gates[i * PER + p] = z[(row * params.s + params.z_offset) / 4u + q];
    }
    gain[p] = weight[q];
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
      if (q < QUADS) { xs[place(i, q)] = s[i * PER + p] * r * gain[p]; }
    }
  }
  workgroupBarrier();
  for (var step = 0u; step < STEPS; step++) { accumulate(ws[step], step, lane); }
  team_sums(lane, lid);
  if (lane % COPIES == 0u) {
    for (var v = 0u; v < EACH; v++) {
      let o = held(lane) + v;
      if (o % M < params.m && row0 + o / M < N) { y[o % M * N + row0 + o / M] = acc[v]; }
    }
  }
}
