// y[n] += Σᵣ x[r,n]
#include "lib/lane_sum.wgsl"

// @entry forward
// A workgroup makes 32 columns; its 8 lanes take every eighth row.
@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let j = flat(wg, nwg) * 32u + lid % 32u;
  var own = 0.0;
  if (j < params.n) {
    for (var i = lid / 32u; i < params.r; i += 8u) { own += x[i * params.n + j]; }
  }
  let all = lane_sum(own, lid);
  if (lid < 32u && j < params.n) { y[j] += all; }
}
