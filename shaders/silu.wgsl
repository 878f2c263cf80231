// y = x·σ(x)
#include "lib/silu_slope.wgsl"

// @entry forward, WG threads
// @in x: f32 [m, n]
// @out y: f32 [m, n]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i < params.m * params.n) { y_put(i, x_at(i) / (1.0 + exp(-x_at(i)))); }
}

// @entry backward, WG threads
// @in x: f32 [m, n]
// @in dy: f32 [m, n]
// @out dx: f32 [m, n]
fn backward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  // forward: y = x·σ(x)  ⇒  dx = dy·σ(x)·(1 + x·(1 - σ(x)))
  if (i < params.m * params.n) { dx_put(i, dy_at(i) * silu_slope(x_at(i))); }
}
