// y[n] += Σᵣ x[r,n]

// @entry forward
// A workgroup makes COLUMNS columns; its lanes take the rows in turn.
#include "lib/lane_sum.wgsl"
@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let j = flat(wg, nwg) * COLUMNS + lid % COLUMNS;
  var own = 0.0;
  if (j < params.n) {
    for (var i = lid / COLUMNS; i < params.r; i += 256u / COLUMNS) { own += x[i * params.n + j]; }
  }
  let all = lane_sum(own, lid);
  if (lid < COLUMNS && j < params.n) { y[j] += all; }
}

// @entry add
// One row, VEC elements to a thread.
@compute @workgroup_size(256)
fn add(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let j = flat(wg, nwg) * 256u + lid;
  if (j < params.n / VEC) { y[j] += x[j]; }
}
