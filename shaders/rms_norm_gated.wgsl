// v = x·SiLU(z);  y = v / √(mean(v²) + eps) · weight. The mean is over e/groups channels.
#optional "lib/norm/shuffle.wgsl"
#optional "lib/norm/shared.wgsl"

// @entry forward, 256 threads
// @in x: f32 | f16 [m, l, e]
// @in z: f32 | f16 [m, l, s]
// @in weight: f32 [e]
// @out y: f32 | f16 [m, l, e]
#include "lib/workgroup_sum.wgsl"
// A workgroup takes one group of one row. Each thread holds its PER channels in registers between the two passes.
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let part = flat(wg, nwg);
  let width = params.e / params.groups;
  let row = part / params.groups;
  let live = row < params.m * params.l;
  let ch0 = part % params.groups * width;
  var v: array<f32, PER>;
  var squares = 0.0;
  for (var q = 0u; q < PER; q++) {
    let ch = q * 256u + lid;
    if (live && ch < width) {
      let zi = z_at(row * params.s + params.z_offset + ch0 + ch);
      let u = x_at(part * width + ch) * (zi / (1.0 + exp(-zi)));
      v[q] = u;
      squares += u * u;
    }
  }
  let r = 1.0 / sqrt(workgroup_sum(squares, lid) / f32(width) + params.eps);
  for (var q = 0u; q < PER; q++) {
    let ch = q * 256u + lid;
    if (live && ch < width) { y_put(part * width + ch, v[q] * r * weight_at(ch0 + ch)); }
  }
}

// @entry forward_vec4, WG threads
// @in x: f32 | f16 [m, l, e]
// @in z: f32 | f16 [m, l, s]
// @in weight: f32 [e]
// @out y: f32 | f16 [m, l, e]
// This entry needs groups of whole vectors. It sums in the order of the kernels of a step (lib/gemv).
fn forward_vec4(wg: vec3u, nwg: vec3u, lid: u32) {
  let part = flat(wg, nwg);
  let width = params.e / params.groups / 4u;
  let row = part / params.groups;
  let live = row < params.m * params.l;
  let ch0 = part % params.groups * width;
#repeat p PER
  var s$p = vec4f();
  {
    let q = $p * WG + lid;
    if (live && q < width) {
      let zi = z_at((row * params.s + params.z_offset) / 4u + ch0 + q);
      let v = x_at(part * width + q) * (zi / (1.0 + exp(-zi)));
      s$p = v;
      squares[0] = fma(v.w, v.w, fma(v.z, v.z, fma(v.y, v.y, fma(v.x, v.x, squares[0]))));
    }
  }
#end
  workgroup_squares(lid);
  let r = 1.0 / sqrt(squares[0] / f32(width * 4u) + params.eps);
#repeat p PER
  {
    let q = $p * WG + lid;
    if (live && q < width) { y_put(part * width + q, s$p * r * weight_at(ch0 + q)); }
  }
#end
}

// @entry forward_alone, WG threads
// @in x: f32 | f16 [m, l, e]
// @in z: f32 | f16 [m, l, s]
// @in weight: f32 [e]
// @out y: f32 | f16 [m, l, e]
// For a software GPU: a thread takes a group of a row, without barriers.
var<private> x0: u32;
var<private> z0: u32;
fn value(q: u32) -> vec4f {
  let zi = z_at(z0 + q);
  return x_at(x0 + q) * (zi / (1.0 + exp(-zi)));
}
#include "lib/norm/alone.wgsl"
fn forward_alone(wg: vec3u, nwg: vec3u, lid: u32) {
  let part = flat(wg, nwg) * WG + lid;
  if (part >= params.m * params.l * params.groups) { return; }
  let width = params.e / params.groups / 4u;
  let ch0 = part % params.groups * width;
  x0 = part * width;
  z0 = (part / params.groups * params.s + params.z_offset) / 4u + ch0;
  let r = 1.0 / sqrt(sum_of_squares(width) / f32(width * 4u) + params.eps);
  for (var q = 0u; q < MOST; q++) { if (!(q < width)) { break; } y_put(x0 + q, value(q) * r * weight_at(ch0 + q)); }
}

// @entry backward, WG threads
// @in x: f32 | f16 [m, l, e]
// @in z: f32 | f16 [m, l, s]
// @in weight: f32 [e]
// @in dy: f32 | f16 [m, l, e]
// @out dx: f32 | f16 [m, l, e]
// @inout dz: f32 | f16 [m, l, s]
// @out dweight_rows: f32 [w, e]
#include "lib/scalar.wgsl"
#include "lib/rms_norm_gated.wgsl"
fn backward(wg: vec3u, nwg: vec3u, lid: u32) {
  gradient(flat(wg, nwg), lid);
}

// @entry backward_vec4, WG threads
// @in x: f32 | f16 [m, l, e]
// @in z: f32 | f16 [m, l, s]
// @in weight: f32 [e]
// @in dy: f32 | f16 [m, l, e]
// @out dx: f32 | f16 [m, l, e]
// @inout dz: f32 | f16 [m, l, s]
// @out dweight_rows: f32 [w, e]
#include "lib/vec4.wgsl"
#include "lib/rms_norm_gated.wgsl"
fn backward_vec4(wg: vec3u, nwg: vec3u, lid: u32) {
  gradient(flat(wg, nwg), lid);
}
