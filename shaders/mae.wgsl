// parts[q] = Σ |x - truth| over the q-th CHUNK elements. A workgroup computes one part.
// @entry forward, 256 threads
// @in x: f32 [n]
// @in truth: f32 [n]
// @out parts: f32 [p]
#include "lib/workgroup_sum.wgsl"
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let chunk = flat(wg, nwg);
  let first = chunk * CHUNK;
  let end = min(first + CHUNK, params.n);
  var own = 0.0;
  for (var lap = 0u; lap < MOST; lap++) { let i = (first + lid) + lap * 256u; if (!(i < end)) { break; } own += abs(x_at(i) - truth_at(i)); }
  let all = workgroup_sum(own, lid);
  if (lid == 0u && chunk < params.p) { parts_put(chunk, all); }
}

// @entry backward, WG threads
// @in x: f32 [n]
// @in truth: f32 [n]
// @in loss_scale?: f32 [2]
// @out dx: f32 [n]
// forward: loss = scale·Σ |x - truth|  ⇒  dx = scale·sign(x - truth)
#include "lib/loss_scale.wgsl"
fn backward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i < params.n) { dx_put(i, scale_of(params.scale) * sign(x_at(i) - truth_at(i))); }
}
