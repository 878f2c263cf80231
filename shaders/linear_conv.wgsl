// proj[m,n] = Σₖ x[m,k]·w[n,k];  y[m,c] = SiLU(conv(proj[:, offset:])), one position of the causal convolution.
// @entry shuffle
#include "lib/gemv/shuffle.wgsl"
// @entry shared
#include "lib/gemv/shared.wgsl"

// @entry forward
#include "lib/gemv/sums.wgsl"
#include "lib/conv_step.wgsl"
var<private> i0: u32;
fn x_at(i: u32, q: u32) -> vec4f { return x[min(i0 + i, params.m - 1u) * (K / 4u) + q]; }

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let lane = lid % 32u;
  let row0 = (wg.x * TEAMS + lid / 32u) * R;
  i0 = wg.y * M;
  var steps: array<Step, EACH>;
  for (var v = 0u; v < EACH; v++) {
    let o = held(lane) + v;
    steps[v] = fetch(i0 + o % M, row0 + o / M);
  }
  for (var step = 0u; step < STEPS; step++) { accumulate(chunks(row0, step, lane), step, lane); }
  team_sums(lane, lid);
  if (lane % COPIES == 0u) {
    for (var v = 0u; v < EACH; v++) {
      let o = held(lane) + v;
      put(i0 + o % M, row0 + o / M, acc[v], steps[v]);
    }
  }
}
