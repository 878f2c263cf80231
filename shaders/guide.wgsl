// y = u + (c - u)·scale, c the first b rows of logits and u the last; VEC logits to a thread.
// @entry forward
@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  let n = params.b * params.v / VEC;
  if (i < n) {
    let u = logits[n + i];
    y[i] = u + (logits[i] - u) * params.scale;
  }
}
