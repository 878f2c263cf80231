// y[m,c] = x[m, offset … offset + c)
// @entry forward, WG threads
// @in x: f32 [m, s]
// @out y: f32 [m, c]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i < params.m * params.c) { y_put(i, x_at((i / params.c) * params.s + params.offset + i % params.c)); }
}

// @entry backward, WG threads
// @in dy: f32 [m, c]
// @inout dx: f32 [m, s]
// forward: y[i,j] = x[i, offset + j]  ⇒  dx[i, offset + j] = dy[i,j]
fn backward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i < params.m * params.c) { dx_put((i / params.c) * params.s + params.offset + i % params.c, dy_at(i)); }
}
