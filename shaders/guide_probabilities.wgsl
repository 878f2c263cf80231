// y = ln max(0, p), p = u + (c - u)·w with u, c = softmax of the logits. c is the first b rows of logits and u is the last b rows.
// A workgroup takes one image.
#include "lib/guide_scale.wgsl"
#include "lib/workgroup_max.wgsl"
#include "lib/workgroup_sum.wgsl"

// @entry forward, 256 threads
// @in logits: f32 [m, v]
// @in scales?: f32 [t]
// @in step?: u32 [b]
// @out y: f32 [b, v]
const LEAST = 1.17549435e-38;
const NONE = -1e30;

// The largest logit of a row, and 1 / Σ exp(logit - largest). Rows past the end are empty.
fn softmax_of(row: u32, live: bool, lid: u32) -> vec2f {
  let count = select(0u, params.v, live);
  var most = -3.4e38;
  for (var j = lid; j < count; j += 256u) { most = max(most, logits_at(row * params.v + j)); }
  most = workgroup_max(most, lid);
  var sum = 0.0;
  for (var j = lid; j < count; j += 256u) { sum += exp(logits_at(row * params.v + j) - most); }
  return vec2f(most, 1.0 / workgroup_sum(sum, lid));
}

fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let image = flat(wg, nwg);
  let live = image < params.b;
  let c = softmax_of(image, live, lid);
  let u = softmax_of(image + params.b, live, lid);
  if (!live) { return; }
  let w = guide_scale(image);
  for (var j = lid; j < params.v; j += 256u) {
    let at = image * params.v + j;
    let free = exp(logits_at(at + params.b * params.v) - u.x) * u.y;
    let p = free + (exp(logits_at(at) - c.x) * c.y - free) * w;
    // NaN is neither, so that it stays.
    y_put(at, select(log(p), NONE, p < LEAST));
  }
}
