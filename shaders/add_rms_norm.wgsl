// sum = res + gate·x;  u = sum / √(mean(sum²) + eps) · weight;  y = u·(1 + scale) + shift.
#include "lib/workgroup_sum.wgsl"

// @entry forward
// A workgroup per row; each thread keeps its PER channels in registers between the two passes.
@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let row = flat(wg, nwg);
  let live = row < params.m * params.l;
  let i = row / params.l;
  let at = row * params.d;
  var s: array<f32, PER>;
  var squares = 0.0;
  for (var q = 0u; q < PER; q++) {
    let ch = q * 256u + lid;
    if (live && ch < params.d) {
      var v = x[at + ch];
      if (params.has_gate == 1u) { v *= gate[(i * 3u + 2u) * params.d + ch]; }
      if (params.has_res == 1u) { v += res[at + ch]; }
      if (params.has_sum == 1u) { sum[at + ch] = v; }
      s[q] = v;
      squares += v * v;
    }
  }
  let r = 1.0 / sqrt(workgroup_sum(squares, lid) / f32(params.d) + params.eps);
  for (var q = 0u; q < PER; q++) {
    let ch = q * 256u + lid;
    if (live && ch < params.d) {
      var u = s[q] * r * weight[ch];
      if (params.has_modulation == 1u) {
        let shift = i * params.c * params.d + ch;
        u = u * (1.0 + modulation[shift + params.d]) + modulation[shift];
      }
      y[at + ch] = u;
    }
  }
}
