// Copies x to y as float32. One thread takes VEC elements.
// @entry forward, WG threads
// @in x: f32 | f16 [n]
// @out y: f32 [n]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i < params.n / VEC) { y_put(i, x_at(i)); }
}
