// proj[m,n] = Σₖ x[m,k]·w[n,k];  y[m,c] = SiLU(conv(proj[:, offset:])), for one position of the causal convolution.
#optional "lib/gemv/sums.wgsl"
#optional "lib/gemv/shuffle.wgsl"
#optional "lib/gemv/shared.wgsl"

// @entry forward, WG threads
// @in x: f32 | f16 [m, l, d]
// @in w: f32 | f16 [n, d]
// @in taps: f32 [c, 1, k]
// @in conv_bias: f32 [c]
// @inout state?: f32 [m, c, q]
// @out proj: f32 | f16 [m, l, n]
// @out y: f32 | f16 [m, l, c]
#include "lib/conv_step.wgsl"
var<private> i0: u32;
fn x4(i: u32, q: u32) -> vec4f { return x_at(min(i0 + i, params.m - 1u) * (K / 4u) + q); }

fn forward(wg: vec3u, lid: u32) {
  let lane = lid % 32u;
  let row0 = (wg.x * TEAMS + lid / 32u) * R;
  i0 = wg.y * M;
#repeat v EACH
  let o$v = held(lane) + $v;
  let fetched$v = fetch(i0 + o$v % M, row0 + o$v / M);
#end
  for (var step = 0u; step < STEPS; step++) { accumulate(chunks(row0, step, lane), step, lane); }
  team_sums(lane, lid);
  if (lane % COPIES == 0u) {
#repeat v EACH
    put(i0 + o$v % M, row0 + o$v / M, acc[$v], fetched$v);
#end
  }
}
