// parts[q] = Σ (x - truth)² over the q-th CHUNK elements, a workgroup to each.
// @entry forward
#include "lib/workgroup_sum.wgsl"
@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let chunk = flat(wg, nwg);
  let first = chunk * CHUNK;
  let end = min(first + CHUNK, params.n);
  var own = 0.0;
  for (var i = first + lid; i < end; i += 256u) {
    let diff = x[i] - truth[i];
    own += diff * diff;
  }
  let all = workgroup_sum(own, lid);
  if (lid == 0u && chunk < params.p) { parts[chunk] = all; }
}

// @entry backward
// forward: loss = scale·Σ (x - truth)²  ⇒  dx = 2·scale·(x - truth); VEC elements to a thread.
#include "lib/loss_scale.wgsl"
@compute @workgroup_size(WG)
fn backward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i < params.n / VEC) { dx[i] = 2.0 * scale_of(params.scale) * (x[i] - truth[i]); }
}
