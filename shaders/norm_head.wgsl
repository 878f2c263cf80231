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
#repeat step STEPS
  let w$step = chunks(row0, $step, lane);
#end
#repeat p PER
  let q$p = $p * WG + lid;
#end
#repeat i M
  let given$i = min($iu, params.m - 1u);
#repeat p PER
  var s$i_$p = vec4f();
  if (q$p < QUADS) {
    s$i_$p = x_at(given$i * QUADS + q$p);
    if (params.has_gate == 1u) { s$i_$p *= gate_at((given$i * 3u + 2u) * QUADS + q$p); }
    if (params.has_res == 1u) { s$i_$p += res_at(given$i * QUADS + q$p); }
    squares[$i] = dot_add(s$i_$p, s$i_$p, squares[$i]);
  }
#end
#end
  workgroup_squares(lid);
#repeat i M
  let once$i = 1.0 / sqrt(squares[$i] / f32(params.d) + params.eps);
  squares[$i] = 0.0;
#repeat p PER
  if (q$p < QUADS) {
    s$i_$p = s$i_$p * once$i * weight_at(q$p);
    squares[$i] = dot_add(s$i_$p, s$i_$p, squares[$i]);
  }
#end
#end
  workgroupBarrier();
  workgroup_squares(lid);
#repeat i M
  let twice$i = 1.0 / sqrt(squares[$i] / f32(params.d) + params.eps);
#repeat p PER
  if (q$p < QUADS) {
    let shift = given$i * 2u * QUADS + q$p;
    keep4($i, q$p, fma(s$i_$p * twice$i * outer_at(q$p), 1.0 + modulation_at(shift + QUADS), modulation_at(shift)));
  }
#end
#end
  workgroupBarrier();
#repeat step STEPS
  accumulate(w$step, $step, lane);
#end
  team_sums(lane, lid);
  if (lane % COPIES == 0u) {
#repeat v EACH
    logits[(team * NV + held(lane) + $v) % (TEAMS * NV)] = acc[$v];
#end
  }
  workgroupBarrier();
  // Neighbouring threads write neighbouring logits of an image.
  for (var lap = 0u; lap < MOST; lap++) { let o = lid + lap * WG; if (!(o < TEAMS * R * params.b)) { break; }
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
