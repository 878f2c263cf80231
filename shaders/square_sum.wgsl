// sums[slot + q] = Σ x² over the q-th CHUNK elements of x, a workgroup to each.
#include "lib/workgroup_sum.wgsl"

// @entry forward
@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let chunk = flat(wg, nwg);
  let first = chunk * CHUNK;
  let end = min(first + CHUNK, params.n);
  var own = 0.0;
  for (var i = first + lid; i < end; i += 256u) { own += x[i] * x[i]; }
  let all = workgroup_sum(own, lid);
  if (lid == 0u && first < params.n) { sums[params.slot + chunk] = all; }
}
