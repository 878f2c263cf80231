// y[m, offset … offset + n) = max(0, x[m,n])
// @entry forward, WG threads
// @in x: f32 [m, n]
// @inout y: f32 [m, s]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i < params.m * params.n) { y_put((i / params.n) * params.s + params.offset + i % params.n, max(0.0, x_at(i))); }
}
