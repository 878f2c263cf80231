// y += factor[0]·x
// @entry forward, WG threads
// @in x: f32 [n]
// @in factor: f32 [1]
// @inout y: f32 [n]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i < params.n) { y_put(i, y_at(i) + factor_at(0) * x_at(i)); }
}
