// y[m,3,d] = groups[m,group,3,d] + table[1,3,d]
// @entry forward
@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  let width = 3u * params.d;
  if (at < params.m * width) { y[at] = groups[(at / width * params.g + params.group) * width + at % width] + table[at % width]; }
}

// @entry backward
// forward: y[m] = groups[m,group] + table  ⇒  dgroups[m,group] += dy[m], dtable += Σ dy; a thread per element of the table.
@compute @workgroup_size(WG)
fn backward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  let width = 3u * params.d;
  if (at >= width) { return; }
  var all = 0.0;
  for (var i = 0u; i < params.m; i++) {
    let g = dy[i * width + at];
    dgroups[(i * params.g + params.group) * width + at] += g;
    all += g;
  }
  dtable[at] += all;
}
