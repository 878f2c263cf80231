// y[m] = (1 - share[m])·x[m] + share[m]·z[m]
// @entry forward, WG threads
// @in x: f32 [m, d]
// @in z: f32 [m, d]
// @in share: f32 [m]
// @out y: f32 [m, d]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i < params.m * params.d) {
    let s = share_at(i / params.d);
    y_put(i, (1.0 - s) * x_at(i) + s * z_at(i));
  }
}
