// y[r] = e/max(‖e‖, 1e-12) with e = codebook[codes[r]].
// @entry forward
@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = flat(wg, nwg) * 256u + lid;
  if (i >= params.r * params.d) { return; }
  let e = min(codes[i / params.d], params.v - 1u) * params.d;
  var square = 0.0;
  for (var j = 0u; j < params.d; j++) { square += codebook[e + j] * codebook[e + j]; }
  y[i] = codebook[e + i % params.d] / max(sqrt(square), 1e-12);
}
