// y[m,c] = x[m, offset … offset + c)
// @entry forward
@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i < params.m * params.c) { y[i] = x[(i / params.c) * params.s + params.offset + i % params.c]; }
}

// @entry backward
// forward: y[i,j] = x[i, offset + j]  ⇒  dx[i, offset + j] = dy[i,j]
@compute @workgroup_size(WG)
fn backward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i < params.m * params.c) { dx[(i / params.c) * params.s + params.offset + i % params.c] = dy[i]; }
}
