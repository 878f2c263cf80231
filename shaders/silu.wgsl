// y = x·σ(x)
#include "lib/silu_slope.wgsl"

// @entry forward
@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i < params.m * params.n) { y[i] = x[i] / (1.0 + exp(-x[i])); }
}

// @entry backward
@compute @workgroup_size(WG)
fn backward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  // forward: y = x·σ(x)  ⇒  dx = dy·σ(x)·(1 + x·(1 - σ(x)))
  if (i < params.m * params.n) { dx[i] = dy[i] * silu_slope(x[i]); }
}
