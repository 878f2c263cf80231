// y = value·SiLU(gate), with [value | gate] = x
#include "lib/silu_slope.wgsl"

// @entry forward, WG threads
// @in x: f32 [m, 2, n]
// @out y: f32 [m, n]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i >= params.m * params.n) { return; }
  let at = i / params.n * 2u * params.n + i % params.n;
  let gate = x_at(at + params.n);
  y_put(i, x_at(at) * (gate / (1.0 + exp(-gate))));
}

// @entry backward, WG threads
// @in x: f32 [m, 2, n]
// @in dy: f32 [m, n]
// @out dx: f32 [m, 2, n]
// forward: y = value·SiLU(gate)  ⇒  dvalue = dy·SiLU(gate), dgate = dy·value·SiLU'(gate)
fn backward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i >= params.m * params.n) { return; }
  let at = i / params.n * 2u * params.n + i % params.n;
  let gate = x_at(at + params.n);
  dx_put(at, dy_at(i) * (gate / (1.0 + exp(-gate))));
  dx_put(at + params.n, dy_at(i) * x_at(at) * silu_slope(gate));
}
