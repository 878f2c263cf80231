// y[m] = table[ids[m]]; VEC channels to a thread.
// @entry forward
@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  let width = params.d / VEC;
  if (i < params.m * width) { y[i] = table[min(ids[i / width], params.v - 1u) * width + i % width]; }
}
