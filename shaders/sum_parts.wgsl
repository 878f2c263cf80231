// y[n] += Σₚ x[p,n].
// @entry forward
@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = flat(wg, nwg) * 256u + lid;
  if (i >= params.n) { return; }
  var sum = 0.0;
  for (var p = 0u; p < params.p; p++) { sum += x[p * params.n + i]; }
  y[i] += sum;
}
