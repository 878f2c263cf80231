// age[v] += 1, and where it reaches patience: codebook[v] = z[draw]·‖codebook[v]‖/‖z[draw]‖, m[v] = s[v] = 0, ema[v] = codebook[v]
#include "lib/threefry.wgsl"

// @entry forward, 64 threads
// @in z: f32 [r, d]
// @in draw: u32 [3]
// @inout age: f32 [v]
// @inout codebook: f32 [v, d]
// @inout m: f32 [v, d]
// @inout s: f32 [v, d]
// @inout ema?: f32 [v, d]
// @out restarted: f32 [v]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let v = flat(wg, nwg) * 64u + lid;
  if (v >= params.v) { return; }
  let steps = age_at(v) + 1.0;
  let dead = steps >= f32(params.patience);
  restarted_put(v, select(0.0, 1.0, dead));
  age_put(v, select(steps, 0.0, dead));
  if (!dead) { return; }
  let d = params.d;
  let row = threefry2x32(vec2u(draw_at(0), draw_at(1)), vec2u(draw_at(2), v)).x % params.r * d;
  var old = 0.0;
  var fresh = 0.0;
  for (var j = 0u; j < MOST; j++) { if (!(j < d)) { break; }
    old += codebook_at(v * d + j) * codebook_at(v * d + j);
    fresh += z_at(row + j) * z_at(row + j);
  }
  let scale = sqrt(old) / max(sqrt(fresh), 1e-12);
  for (var j = 0u; j < MOST; j++) { if (!(j < d)) { break; }
    let value = z_at(row + j) * scale;
    codebook_put(v * d + j, value);
    m_put(v * d + j, 0.0);
    s_put(v * d + j, 0.0);
    if (params.has_ema == 1u) { ema_put(v * d + j, value); }
  }
}
