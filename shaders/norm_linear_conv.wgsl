// sum = res + gate·x;  u = RMSNorm(sum)·weight·(1 + scale) + shift;  proj = u·wᵀ;  y = SiLU(conv(proj[:, offset:])), for one
// position of m rows.
#optional "lib/gemv/sums.wgsl"
#optional "lib/gemv/shuffle.wgsl"
#optional "lib/gemv/shared.wgsl"
#optional "lib/gemv/norm.wgsl"
#optional "lib/norm/shuffle.wgsl"
#optional "lib/norm/shared.wgsl"

// @entry forward, WG threads
// @in x: f32 | f16 [m, l, d]
// @in res?: f32 [m, l, d]
// @in gate?: f32 [m, 3, d]
// @in weight: f32 [d]
// @in modulation?: f32 [m, 3, d]
// @in w: f32 | f16 [n, d]
// @in taps: f32 [c, 1, k]
// @in conv_bias: f32 [c]
// @inout state?: f32 [m, c, q]
// @out sum?: f32 [m, l, d]
// @out proj: f32 | f16 [m, l, n]
// @out y: f32 | f16 [m, l, c]
// Every workgroup computes all of u, and the first one writes sum. It issues its first loads of w before that.
#include "lib/conv_step.wgsl"

fn forward(wg: vec3u, lid: u32) {
  let lane = lid % 32u;
  let row0 = (wg.x * TEAMS + lid / 32u) * R;
#repeat p PER
  let q$p = $p * WG + lid;
  let near$p = min(q$p, QUADS - 1u);
#repeat i M
  let row$i_$p = min($iu, params.m - 1u);
  var s$i_$p = x_at(row$i_$p * QUADS + near$p);
  if (params.has_gate == 1u) { s$i_$p *= gate_at((row$i_$p * 3u + 2u) * QUADS + near$p); }
  if (params.has_res == 1u) { s$i_$p += res_at(row$i_$p * QUADS + near$p); }
  var shift$i_$p = vec4f();
  var scale$i_$p = vec4f(1.0);
  if (params.has_modulation == 1u) {
    shift$i_$p = modulation_at(row$i_$p * 3u * QUADS + near$p);
    scale$i_$p += modulation_at((row$i_$p * 3u + 1u) * QUADS + near$p);
  }
#end
#end
#repeat p PER
  let gain$p = weight_at(near$p);
#end
#repeat step STEPS
  let w$step = chunks(row0, $step, lane);
#end
#repeat v EACH
  let o$v = held(lane) + $v;
  let fetched$v = fetch(o$v % M, row0 + o$v / M);
#end
#repeat i M
#repeat p PER
  if (q$p < QUADS) {
    squares[$i] = dot_add(s$i_$p, s$i_$p, squares[$i]);
    if (params.has_sum == 1u && wg.x == 0u && $i < params.m) { sum_put($i * QUADS + q$p, s$i_$p); }
  }
#end
#end
  workgroup_squares(lid);
#repeat i M
  let r$i = 1.0 / sqrt(squares[$i] / f32(params.d) + params.eps);
#repeat p PER
  if (q$p < QUADS) { keep4($i, q$p, fma(s$i_$p * r$i * gain$p, scale$i_$p, shift$i_$p)); }
#end
#end
  workgroupBarrier();
#repeat step STEPS
  accumulate(w$step, $step, lane);
#end
  team_sums(lane, lid);
  if (lane % COPIES == 0u) {
#repeat v EACH
    put(o$v % M, row0 + o$v / M, acc[$v], fetched$v);
#end
  }
}
