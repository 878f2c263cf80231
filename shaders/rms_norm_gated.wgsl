// v = x·SiLU(z);  y = v / √(mean(v²) + eps) · weight, the mean over e/groups channels.

// @entry forward
#include "lib/workgroup_sum.wgsl"
// A workgroup per row and group; each thread keeps its PER channels in registers between the two passes.
@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
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
      let zi = z[row * params.s + params.z_offset + ch0 + ch];
      let u = x[part * width + ch] * (zi / (1.0 + exp(-zi)));
      v[q] = u;
      squares += u * u;
    }
  }
  let r = 1.0 / sqrt(workgroup_sum(squares, lid) / f32(width) + params.eps);
  for (var q = 0u; q < PER; q++) {
    let ch = q * 256u + lid;
    if (live && ch < width) { y[part * width + ch] = v[q] * r * weight[ch0 + ch]; }
  }
}

// @entry shuffle
#include "lib/norm/shuffle.wgsl"
// @entry shared
#include "lib/norm/shared.wgsl"

// @entry forward_vec4
// Groups of whole vectors, in the order of the kernels of a step (lib/gemv).
const M = 1u;
@compute @workgroup_size(WG)
fn forward_vec4(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let part = flat(wg, nwg);
  let width = params.e / params.groups / 4u;
  let row = part / params.groups;
  let live = row < params.m * params.l;
  let ch0 = part % params.groups * width;
  var s: array<vec4f, PER>;
  for (var p = 0u; p < PER; p++) {
    let q = p * WG + lid;
    if (live && q < width) {
      let zi = z[(row * params.s + params.z_offset) / 4u + ch0 + q];
      let v = x[part * width + q] * (zi / (1.0 + exp(-zi)));
      s[p] = v;
      squares[0] = fma(v.w, v.w, fma(v.z, v.z, fma(v.y, v.y, fma(v.x, v.x, squares[0]))));
    }
  }
  workgroup_squares(lid);
  let r = 1.0 / sqrt(squares[0] / f32(width * 4u) + params.eps);
  for (var p = 0u; p < PER; p++) {
    let q = p * WG + lid;
    if (live && q < width) { y[part * width + q] = s[p] * r * weight[ch0 + q]; }
  }
}

// @entry backward
// A workgroup walks one of the w parts of the rows, one group of channels; each thread keeps PER of them in registers, and
// their sums over the rows.
#include "lib/workgroup_sum2.wgsl"
#include "lib/silu_slope.wgsl"
@compute @workgroup_size(256)
fn backward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let tile = flat(wg, nwg);
  let width = params.e / params.groups;
  let part = tile / params.groups;
  let ch0 = tile % params.groups * width;
  let rows = params.m * params.l;
  let span = (rows + params.w - 1u) / params.w;
  let row1 = select(0u, min((part + 1u) * span, rows), part < params.w);
  var sums: array<f32, PER>;
  for (var row = part * span; row < row1; row++) {
    let at = row * params.e + ch0;
    let z_at = row * params.s + params.z_offset + ch0;
    var v: array<f32, PER>;
    var dn: array<f32, PER>;
    var both = vec2f();
    for (var q = 0u; q < PER; q++) {
      let ch = q * 256u + lid;
      if (ch < width) {
        let zi = z[z_at + ch];
        v[q] = x[at + ch] * (zi / (1.0 + exp(-zi)));
        dn[q] = dy[at + ch] * weight[ch0 + ch];
        both += vec2f(v[q], dn[q]) * v[q];
      }
    }
    both = workgroup_sum2(both, lid) / f32(width);
    let r = 1.0 / sqrt(both.x + params.eps);
    for (var q = 0u; q < PER; q++) {
      let ch = q * 256u + lid;
      if (ch < width) {
        // forward: y = v·r·weight, r = (Σ v²/width + eps)^-½  ⇒  dv = dy·weight·r - v·r³·Σ(dy·weight·v)/width
        let n = v[q] * r;
        let dv = r * (dn[q] - n * (r * both.y));
        // forward: v = x·SiLU(z)  ⇒  dx = dv·SiLU(z), dz = dv·x·SiLU'(z)
        let zi = z[z_at + ch];
        dx[at + ch] = dv * (zi / (1.0 + exp(-zi)));
        dz[z_at + ch] = dv * x[at + ch] * silu_slope(zi);
        // forward: y = v·r·weight  ⇒  dweight += Σ dy·v·r
        sums[q] += dy[at + ch] * n;
      }
    }
  }
  for (var q = 0u; q < PER; q++) {
    let ch = q * 256u + lid;
    if (part < params.w && ch < width) { dweight_rows[part * params.e + ch0 + ch] = sums[q]; }
  }
}
