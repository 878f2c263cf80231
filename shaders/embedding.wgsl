// y[m] = table[ids[m]]. One thread takes VEC channels.
// @entry forward, WG threads
// @in table: f32 [v, d]
// @in ids: u32 [m]
// @out y: f32 [m, d]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  let width = params.d / VEC;
  if (i < params.m * width) { y_put(i, table_at(min(ids_at(i / width), params.v - 1u) * width + i % width)); }
}

// @entry backward, 256 threads
// @in ids: u32 [m]
// @in dy: f32 [m, d]
// @inout dtable: f32 [v, d]
// forward: y[m] = table[ids[m]]  ⇒  dtable[ids[m]] += dy[m]
#include "lib/scatter_rows.wgsl"
fn id_at(i: u32) -> u32 { return min(ids_at(i), params.v - 1u); }
fn row_at(i: u32) -> u32 { return i; }
fn add_at(at: u32, v: f32) { dtable_add(at, v); }

fn backward(wg: vec3u, nwg: vec3u, lid: u32) {
  scatter(flat(wg, nwg), params.m, lid);
}
