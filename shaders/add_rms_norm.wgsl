// sum = res + gate·x;  u = sum / √(mean(sum²) + eps) · weight;  y = u·(1 + scale) + shift.
#optional "lib/norm/shuffle.wgsl"
#optional "lib/norm/shared.wgsl"

// @entry forward, 256 threads
// @in x: f32 | f16 [m, l, d]
// @in res?: f32 [m, l, d]
// @in gate?: f32 [m, g, d]
// @in weight: f32 [d]
// @in modulation?: f32 [m, c, d]
// @out sum?: f32 [m, l, d]
// @out y: f32 | f16 [m, l, d]
#include "lib/workgroup_sum.wgsl"
// A workgroup takes one row. Each thread holds its PER channels in registers between the two passes.
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let row = flat(wg, nwg);
  let live = row < params.m * params.l;
  let i = row / params.l;
  let at = row * params.d;
  var s: array<f32, PER>;
  var squares = 0.0;
  for (var q = 0u; q < PER; q++) {
    let ch = q * 256u + lid;
    if (live && ch < params.d) {
      var v = x_at(at + ch);
      if (params.has_gate == 1u) { v *= gate_at((i * 3u + 2u) * params.d + ch); }
      if (params.has_res == 1u) { v += res_at(at + ch); }
      if (params.has_sum == 1u) { sum_put(at + ch, v); }
      s[q] = v;
      squares += v * v;
    }
  }
  let r = 1.0 / sqrt(workgroup_sum(squares, lid) / f32(params.d) + params.eps);
  for (var q = 0u; q < PER; q++) {
    let ch = q * 256u + lid;
    if (live && ch < params.d) {
      var u = s[q] * r * weight_at(ch);
      if (params.has_modulation == 1u) {
        let shift = i * params.c * params.d + ch;
        u = u * (1.0 + modulation_at(shift + params.d)) + modulation_at(shift);
      }
      y_put(at + ch, u);
    }
  }
}

// @entry forward_vec4, WG threads
// @in x: f32 | f16 [m, l, d]
// @in res?: f32 [m, l, d]
// @in gate?: f32 [m, g, d]
// @in weight: f32 [d]
// @in modulation?: f32 [m, c, d]
// @out sum?: f32 [m, l, d]
// @out y: f32 | f16 [m, l, d]
// This entry needs d in whole vectors. It sums in the order of the kernels of a step (lib/gemv).
fn forward_vec4(wg: vec3u, nwg: vec3u, lid: u32) {
  let row = flat(wg, nwg);
  let live = row < params.m * params.l;
  let i = row / params.l;
  let width = params.d / 4u;
  let at = row * width;
#repeat p PER
  var s$p = vec4f();
  {
    let q = $p * WG + lid;
    if (live && q < width) {
      var v = x_at(at + q);
      if (params.has_gate == 1u) { v *= gate_at((i * 3u + 2u) * width + q); }
      if (params.has_res == 1u) { v += res_at(at + q); }
      if (params.has_sum == 1u) { sum_put(at + q, v); }
      s$p = v;
      squares[0] = fma(v.w, v.w, fma(v.z, v.z, fma(v.y, v.y, fma(v.x, v.x, squares[0]))));
    }
  }
#end
  workgroup_squares(lid);
  let r = 1.0 / sqrt(squares[0] / f32(params.d) + params.eps);
#repeat p PER
  {
    let q = $p * WG + lid;
    if (live && q < width) {
      var u = s$p * r * weight_at(q);
      if (params.has_modulation == 1u) {
        let shift = i * params.c * width + q;
        u = fma(u, 1.0 + modulation_at(shift + width), modulation_at(shift));
      }
      y_put(at + q, u);
    }
  }
#end
}

// @entry forward_alone, WG threads
// @in x: f32 | f16 [m, l, d]
// @in res?: f32 [m, l, d]
// @in gate?: f32 [m, g, d]
// @in weight: f32 [d]
// @in modulation?: f32 [m, c, d]
// @out sum?: f32 [m, l, d]
// @out y: f32 | f16 [m, l, d]
// For a software GPU: a thread takes a row, without barriers.
var<private> at: u32;
var<private> i: u32;
fn value(q: u32) -> vec4f {
  var v = x_at(at + q);
  if (params.has_gate == 1u) { v *= gate_at((i * 3u + 2u) * (params.d / 4u) + q); }
  if (params.has_res == 1u) { v += res_at(at + q); }
  return v;
}
#include "lib/norm/alone.wgsl"
fn forward_alone(wg: vec3u, nwg: vec3u, lid: u32) {
  let row = flat(wg, nwg) * WG + lid;
  if (row >= params.m * params.l) { return; }
  let width = params.d / 4u;
  at = row * width;
  i = row / params.l;
  let r = 1.0 / sqrt(sum_of_squares(width) / f32(params.d) + params.eps);
  for (var q = 0u; q < MOST; q++) { if (!(q < width)) { break; }
    let v = value(q);
    if (params.has_sum == 1u) { sum_put(at + q, v); }
    var u = v * r * weight_at(q);
    if (params.has_modulation == 1u) {
      let shift = i * params.c * width + q;
      u = fma(u, 1.0 + modulation_at(shift + width), modulation_at(shift));
    }
    y_put(at + q, u);
  }
}

// @entry backward, WG threads
// @in sum: f32 [m, l, d]
// @in weight: f32 [d]
// @in modulation?: f32 [m, c, d]
// @in dy: f32 | f16 [m, l, d]
// @in dsum?: f32 [m, l, d]
// @out dres: f32 [m, l, d]
// @out rows: f32 [m, w, 2, d]
#include "lib/scalar.wgsl"
#include "lib/add_rms_norm.wgsl"
fn backward(wg: vec3u, nwg: vec3u, lid: u32) {
  gradient(flat(wg, nwg), lid);
}

// @entry backward_vec4, WG threads
// @in sum: f32 [m, l, d]
// @in weight: f32 [d]
// @in modulation?: f32 [m, c, d]
// @in dy: f32 | f16 [m, l, d]
// @in dsum?: f32 [m, l, d]
// @out dres: f32 [m, l, d]
// @out rows: f32 [m, w, 2, d]
#include "lib/vec4.wgsl"
#include "lib/add_rms_norm.wgsl"
fn backward_vec4(wg: vec3u, nwg: vec3u, lid: u32) {
  gradient(flat(wg, nwg), lid);
}

// @entry backward_params, WG threads
// @in rows: f32 [m, w, 2, d]
// @in weight: f32 [d]
// @in modulation?: f32 [m, c, d]
// @inout dmodulation?: f32 [m, c, d]
// @out dweight_rows: f32 [m, d]
// One thread takes one channel of one sequence.
fn backward_params(wg: vec3u, nwg: vec3u, lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  if (at >= params.m * params.d) { return; }
  let i = at / params.d;
  let ch = at % params.d;
  var sums = vec2f();
  for (var q = 0u; q < MOST; q++) { if (!(q < params.w)) { break; }
    let row = (i * params.w + q) * 2u * params.d + ch;
    sums += vec2f(rows_at(row), rows_at(row + params.d));
  }
  // forward: y = n·weight·(1 + scale) + shift  ⇒  dshift += Σ dy, dscale += Σ dy·n·weight, dweight += Σ dy·n·(1 + scale)
  let shift = i * params.c * params.d + ch;
  if (params.has_dmodulation == 1u) {
    dmodulation_add(shift, sums.x);
    dmodulation_add(shift + params.d, sums.y * weight_at(ch));
  }
  var scale = 1.0;
  if (params.has_modulation == 1u) { scale += modulation_at(shift + params.d); }
  dweight_rows_put(at, sums.y * scale);
}

// @entry backward_gate, 256 threads
// @in x: f32 | f16 [m, l, d]
// @in gate: f32 [m, 3, d]
// @in dres: f32 [m, l, d]
// @out dx: f32 | f16 [m, l, d]
// @inout dgate: f32 [m, 3, d]
// A workgroup takes 32 channels of a sequence. Each of its 8 lanes takes every eighth position.
#include "lib/lane_sum.wgsl"
fn backward_gate(wg: vec3u, nwg: vec3u, lid: u32) {
  let tiles = (params.d + 31u) / 32u;
  let tile = flat(wg, nwg);
  let i = tile / tiles;
  let ch = tile % tiles * 32u + lid % 32u;
  let live = i < params.m && ch < params.d;
  let to = (i * 3u + 2u) * params.d + ch;
  var own = 0.0;
  if (live) {
    let g = gate_at(to);
    for (var lap = 0u; lap < MOST; lap++) { let j = (lid / 32u) + lap * 8u; if (!(j < params.l)) { break; }
      // forward: sum = res + gate·x  ⇒  dx = dsum·gate, dgate += Σ dsum·x
      let at = (i * params.l + j) * params.d + ch;
      let ds = dres_at(at);
      dx_put(at, ds * g);
      own += ds * x_at(at);
    }
  }
  let all = lane_sum(own, lid);
  if (live && lid < 32u) { dgate_add(to, all); }
}
