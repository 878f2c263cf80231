// sum = res + gate·x;  u = sum / √(mean(sum²) + eps) · weight;  y = u·(1 + scale) + shift.

// @entry forward
#include "lib/workgroup_sum.wgsl"
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

// @entry shuffle
#include "lib/norm/shuffle.wgsl"
// @entry shared
#include "lib/norm/shared.wgsl"

// @entry forward_vec4
// d in whole vectors, in the order of the kernels of a step (lib/gemv).
const M = 1u;
@compute @workgroup_size(WG)
fn forward_vec4(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let row = flat(wg, nwg);
  let live = row < params.m * params.l;
  let i = row / params.l;
  let width = params.d / 4u;
  let at = row * width;
  var s: array<vec4f, PER>;
  for (var p = 0u; p < PER; p++) {
    let q = p * WG + lid;
    if (live && q < width) {
      var v = x[at + q];
      if (params.has_gate == 1u) { v *= gate[(i * 3u + 2u) * width + q]; }
      if (params.has_res == 1u) { v += res[at + q]; }
      if (params.has_sum == 1u) { sum[at + q] = v; }
      s[p] = v;
      squares[0] = fma(v.w, v.w, fma(v.z, v.z, fma(v.y, v.y, fma(v.x, v.x, squares[0]))));
    }
  }
  workgroup_squares(lid);
  let r = 1.0 / sqrt(squares[0] / f32(params.d) + params.eps);
  for (var p = 0u; p < PER; p++) {
    let q = p * WG + lid;
    if (live && q < width) {
      var u = s[p] * r * weight[q];
      if (params.has_modulation == 1u) {
        let shift = i * params.c * width + q;
        u = fma(u, 1.0 + modulation[shift + width], modulation[shift]);
      }
      y[at + q] = u;
    }
  }
}

// @entry backward
// A workgroup walks one of the w parts of a sequence, with PER channels of the sums over its positions in each thread's
// registers.
#include "lib/workgroup_sum2.wgsl"
@compute @workgroup_size(256)
fn backward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let part = flat(wg, nwg);
  let i = part / params.w;
  let span = (params.l + params.w - 1u) / params.w;
  let j0 = part % params.w * span;
  let j1 = select(0u, min(j0 + span, params.l), i < params.m);
  let scale = (i * params.c + 1u) * params.d;
  var sum_dy: array<f32, PER>;
  var sum_dyn: array<f32, PER>;
  for (var j = j0; j < j1; j++) {
    let at = (i * params.l + j) * params.d;
    var s: array<f32, PER>;
    var dn: array<f32, PER>;
    var both = vec2f();
    for (var q = 0u; q < PER; q++) {
      let ch = q * 256u + lid;
      if (ch < params.d) {
        s[q] = sum[at + ch];
        // forward: n = sum·r, y = n·weight·(1 + scale) + shift  ⇒  dn = dy·weight·(1 + scale)
        dn[q] = dy[at + ch] * weight[ch];
        if (params.has_modulation == 1u) { dn[q] *= 1.0 + modulation[scale + ch]; }
        both += vec2f(s[q], dn[q]) * s[q];
      }
    }
    both = workgroup_sum2(both, lid) / f32(params.d);
    let r = 1.0 / sqrt(both.x + params.eps);
    for (var q = 0u; q < PER; q++) {
      let ch = q * 256u + lid;
      if (ch < params.d) {
        // forward: r = (Σ sum²/d + eps)^-½  ⇒  dsum += dn·r - sum·r³·Σ(dn·sum)/d
        let n = s[q] * r;
        var ds = r * (dn[q] - n * (r * both.y));
        if (params.has_dsum == 1u) { ds += dsum[at + ch]; }
        dres[at + ch] = ds;
        let g = dy[at + ch];
        sum_dy[q] += g;
        sum_dyn[q] += g * n;
      }
    }
  }
  for (var q = 0u; q < PER; q++) {
    let ch = q * 256u + lid;
    if (i < params.m && ch < params.d) {
      rows[part * 2u * params.d + ch] = sum_dy[q];
      rows[(part * 2u + 1u) * params.d + ch] = sum_dyn[q];
    }
  }
}

// @entry backward_params
// A thread per sequence and channel.
@compute @workgroup_size(WG)
fn backward_params(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  if (at >= params.m * params.d) { return; }
  let i = at / params.d;
  let ch = at % params.d;
  var sums = vec2f();
  for (var q = 0u; q < params.w; q++) {
    let row = (i * params.w + q) * 2u * params.d + ch;
    sums += vec2f(rows[row], rows[row + params.d]);
  }
  // forward: y = n·weight·(1 + scale) + shift  ⇒  dshift += Σ dy, dscale += Σ dy·n·weight, dweight += Σ dy·n·(1 + scale)
  let shift = i * params.c * params.d + ch;
  if (params.has_dmodulation == 1u) {
    dmodulation[shift] += sums.x;
    dmodulation[shift + params.d] += sums.y * weight[ch];
  }
  var scale = 1.0;
  if (params.has_modulation == 1u) { scale += modulation[shift + params.d]; }
  dweight_rows[at] = sums.y * scale;
}

// @entry backward_gate
// A workgroup takes 32 channels of a sequence; its 8 lanes every eighth position.
#include "lib/lane_sum.wgsl"
@compute @workgroup_size(256)
fn backward_gate(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let tiles = (params.d + 31u) / 32u;
  let tile = flat(wg, nwg);
  let i = tile / tiles;
  let ch = tile % tiles * 32u + lid % 32u;
  let live = i < params.m && ch < params.d;
  let to = (i * 3u + 2u) * params.d + ch;
  var own = 0.0;
  if (live) {
    let g = gate[to];
    for (var j = lid / 32u; j < params.l; j += 8u) {
      // forward: sum = res + gate·x  ⇒  dx = dsum·gate, dgate += Σ dsum·x
      let at = (i * params.l + j) * params.d + ch;
      let ds = dres[at];
      dx[at] = ds * g;
      own += ds * x[at];
    }
  }
  let all = lane_sum(own, lid);
  if (live && lid < 32u) { dgate[to] += all; }
}
