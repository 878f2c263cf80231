// y[m,3,d] = groups[m,group,3,d] + table[1,3,d]
// @entry forward, WG threads
// @in groups: f32 [m, g, r, d]
// @in table: f32 [1, r, d]
// @out y: f32 [m, r, d]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  let width = params.r * params.d;
  if (at < params.m * width) { y_put(at, groups_at((at / width * params.g + params.group) * width + at % width) + table_at(at % width)); }
}

// @entry backward, WG threads
// @in dy: f32 [m, r, d]
// @inout dgroups: f32 [m, g, r, d]
// @inout dtable: f32 [1, r, d]
// forward: y[m] = groups[m,group] + table  ⇒  dgroups[m,group] += dy[m], dtable += Σ dy
// One thread takes one element of the table.
fn backward(wg: vec3u, nwg: vec3u, lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  let width = params.r * params.d;
  if (at >= width) { return; }
  var all = 0.0;
  for (var i = 0u; i < MOST; i++) { if (!(i < params.m)) { break; }
    let g = dy_at(i * width + at);
    dgroups_add((i * params.g + params.group) * width + at, g);
    all += g;
  }
  dtable_add(at, all);
}
