// v = x·SiLU(z);  g = v / √(mean(v²) + eps)·weight;  y[m,n] = g·wᵀ, for one position of m rows.
#optional "lib/gemv/sums.wgsl"
#optional "lib/gemv/shuffle.wgsl"
#optional "lib/gemv/shared.wgsl"
#optional "lib/gemv/norm.wgsl"
#optional "lib/norm/shuffle.wgsl"
#optional "lib/norm/shared.wgsl"

// @entry forward, WG threads
// @in x: f32 | f16 [m, l, e]
// @in z: f32 | f16 [m, l, s]
// @in weight: f32 [e]
// @in w: f32 | f16 [n, e]
// @out y: f32 | f16 [m, l, n]
// Every workgroup computes all of g. It issues its first loads of w before that.

fn forward(wg: vec3u, lid: u32) {
  let lane = lid % 32u;
  let row0 = (wg.x * TEAMS + lid / 32u) * R;
#repeat p PER
  let q$p = $p * WG + lid;
  let near$p = min(q$p, QUADS - 1u);
#repeat i M
  let row$i_$p = min($iu, params.m - 1u);
  let x$i_$p = x_at(row$i_$p * QUADS + near$p);
  let z$i_$p = z_at((row$i_$p * params.s + params.z_offset) / 4u + near$p);
#end
  let gain$p = weight_at(near$p);
#end
#repeat step STEPS
  let w$step = chunks(row0, $step, lane);
#end
#repeat i M
#repeat p PER
  let s$i_$p = x$i_$p * (z$i_$p / (1.0 + exp(-z$i_$p)));
  if (q$p < QUADS) { squares[$i] = dot_add(s$i_$p, s$i_$p, squares[$i]); }
#end
#end
  workgroup_squares(lid);
#repeat i M
  let r$i = 1.0 / sqrt(squares[$i] / f32(params.e) + params.eps);
#repeat p PER
  if (q$p < QUADS) { keep4($i, q$p, s$i_$p * r$i * gain$p); }
#end
#end
  workgroupBarrier();
#repeat step STEPS
  accumulate(w$step, $step, lane);
#end
  team_sums(lane, lid);
  if (lane % COPIES == 0u) {
#repeat v EACH
    {
      let o = held(lane) + $v;
      if (o % M < params.m && row0 + o / M < N) { y_put(o % M * N + row0 + o / M, acc[$v]); }
    }
#end
  }
}
