// y = u + (c - u)·w. c is the first b rows of logits and u is the last b rows. One thread takes VEC logits of an image.
#include "lib/guide_scale.wgsl"

// @entry forward, WG threads
// @in logits: f32 [m, v]
// @in scales?: f32 [t]
// @in step?: u32 [b]
// @out y: f32 [b, v]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  let width = params.v / VEC;
  let n = params.b * width;
  if (i < n) {
    let u = logits_at(n + i);
    y_put(i, u + (logits_at(i) - u) * guide_scale(i / width));
  }
}
