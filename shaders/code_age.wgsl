// age[v] = -1 for each code v among codes. A thread looks for one code, so that no two write to the same place.
// @entry forward, 256 threads
// @in codes: u32 [r]
// @inout age: f32 [v]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let v = flat(wg, nwg) * 256u + lid;
  if (v >= params.v) { return; }
  for (var i = 0u; i < MOST; i++) { if (!(i < params.r)) { break; }
    if (codes_at(i) == v) {
      age_put(v, -1.0);
      break;
    }
  }
}
