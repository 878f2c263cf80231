// y[m] = table[ids[m]]; VEC channels to a thread.
// @entry forward
@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  let width = params.d / VEC;
  if (i < params.m * width) { y[i] = table[min(ids[i / width], params.v - 1u) * width + i % width]; }
}

// @entry backward
// forward: y[m] = table[ids[m]]  ⇒  dtable[ids[m]] += dy[m]
#include "lib/scatter_rows.wgsl"
fn id_at(i: u32) -> u32 { return min(ids[i], params.v - 1u); }
fn row_at(i: u32) -> u32 { return i; }
fn add_at(at: u32, v: f32) { dtable[at] += v; }

@compute @workgroup_size(256)
fn backward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  scatter(flat(wg, nwg), params.m, lid);
}
