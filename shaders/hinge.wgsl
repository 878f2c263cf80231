// y = scale·Σ max(0, 1 - sign·x), or with linear -scale·Σ sign·x
// @entry forward, 256 threads
// @in x: f32 [n]
// @out y: f32 [1]
#include "lib/workgroup_sum.wgsl"
fn forward(lid: u32) {
  var own = 0.0;
  for (var lap = 0u; lap < MOST; lap++) { let i = lid + lap * 256u; if (!(i < params.n)) { break; }
    let v = params.sign * x_at(i);
    own += select(max(0.0, 1.0 - v), -v, params.linear == 1u);
  }
  let all = workgroup_sum(own, lid);
  if (lid == 0u) { y_put(0, all * params.scale); }
}

// @entry backward, WG threads
// @in x: f32 [n]
// @in loss_scale?: f32 [2]
// @out dx: f32 [n]
#include "lib/loss_scale.wgsl"
fn backward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i >= params.n) { return; }
  let sloping = params.linear == 1u || 1.0 - params.sign * x_at(i) > 0.0;
  dx_put(i, select(0.0, -params.sign * scale_of(params.scale), sloping));
}
