// y = x for x > 0, else slope·x
// @entry forward, WG threads
// @in x: f32 [n]
// @out y: f32 [n]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i < params.n) { y_put(i, select(params.slope * x_at(i), x_at(i), x_at(i) > 0.0)); }
}

// @entry backward, WG threads
// @in y: f32 [n]
// @in dy: f32 [n]
// @out dx: f32 [n]
fn backward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i < params.n) { dx_put(i, select(params.slope * dy_at(i), dy_at(i), y_at(i) > 0.0)); }
}
