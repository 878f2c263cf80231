// w = scales[step];  y = u + (c - u)·w or, with `probabilities`, y = ln max(0, p) with p = u + (c - u)·w of their softmaxes.
// c is the first b rows of logits and u is the last b rows. A workgroup takes one image.
#include "lib/workgroup_max.wgsl"
#include "lib/workgroup_sum.wgsl"

// @entry forward, 256 threads
// @in logits: f32 [m, v]
// @in scales: f32 [t]
// @in step: u32 [b]
// @out y: f32 [b, v]
const LEAST = 1.17549435e-38;
const NONE = -1e30;

// The largest logit of a row, and 1 / Σ exp(logit - largest).
fn softmax_of(row: u32, count: u32, lid: u32) -> vec2f {
  var most = -3.4e38;
  for (var lap = 0u; lap < MOST; lap++) { let j = lid + lap * 256u; if (!(j < count)) { break; } most = max(most, logits_at(row * params.v + j)); }
  most = workgroup_max(most, lid);
  var sum = 0.0;
  for (var lap = 0u; lap < MOST; lap++) { let j = lid + lap * 256u; if (!(j < count)) { break; } sum += exp(logits_at(row * params.v + j) - most); }
  return vec2f(most, 1.0 / workgroup_sum(sum, lid));
}

fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let image = flat(wg, nwg);
  let count = select(0u, params.v, image < params.b);
  var c = vec2f();
  var u = vec2f();
  if (params.probabilities == 1u) {
    c = softmax_of(image, count, lid);
    u = softmax_of(image + params.b, count, lid);
  }
  let w = scales_at(min(step_at(min(image, params.b - 1u)), params.t - 1u));
  for (var lap = 0u; lap < MOST; lap++) { let j = lid + lap * 256u; if (!(j < count)) { break; }
    let at = image * params.v + j;
    let cond = logits_at(at);
    var free = logits_at(at + params.b * params.v);
    if (params.probabilities == 0u) {
      y_put(at, free + (cond - free) * w);
      continue;
    }
    free = exp(free - u.x) * u.y;
    let p = free + (exp(cond - c.x) * c.y - free) * w;
    // NaN is neither, so that it stays.
    y_put(at, select(log(p), NONE, p < LEAST));
  }
}
