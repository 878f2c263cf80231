// y[b,oy,ox,o] = bias[o] + Σ w[o,ky,kx,c]·xv[b, oy·stride+ky-pad, ox·stride+kx-pad, c] (+ residual), where xv is x with
// every pixel repeated up×up times and zeros around: a product of pixels × output channels over k = (ky, kx, c).
#include "lib/tile.wgsl"

// Where tap k of output pixel i reads x, in pixels; false if it falls outside.
struct Tap { pixel: u32, inside: bool }
fn tap(i: u32, k: u32) -> Tap {
  let t = k / params.ci;
  let at = i / params.wo;
  let vy = (at % params.ho) * params.stride + t / params.kw;
  let vx = (i % params.wo) * params.stride + t % params.kw;
  let iy = (vy - params.pad) / params.up;
  let ix = (vx - params.pad) / params.up;
  let inside = i < params.b * params.ho * params.wo && t < params.kh * params.kw
    && vy >= params.pad && vx >= params.pad && iy < params.hi && ix < params.wi;
  return Tap(((at / params.ho) * params.hi + iy) * params.wi + ix, inside);
}

fn put(i: u32, j: u32, sum: f32) {
  if (i >= params.b * params.ho * params.wo || j >= params.co) { return; }
  var value = sum + bias[j];
  let o = i * params.co + j;
  if (params.has_residual == 1u) { value += residual[o]; }
  y[o] = value;
}

// @entry forward
fn a1(i: u32, k: u32) -> f32 {
  let t = tap(i, k);
  if (!t.inside) { return 0.0; }
  return x[t.pixel * params.ci + k % params.ci];
}
fn a4(i: u32, k: u32) -> vec4f {
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) { v[q] = a1(i, k + q); }
  return v;
}
fn b1(j: u32, k: u32) -> f32 {
  let depth = params.kh * params.kw * params.ci;
  if (j >= params.co || k >= depth) { return 0.0; }
  return w[j * depth + k];
}
fn b4(j: u32, k: u32) -> vec4f {
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) { v[q] = b1(j, k + q); }
  return v;
}

@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  tile((wg.y + wg.z * nwg.y) * 64u, wg.x * 64u, 0u, params.kh * params.kw * params.ci, lid);
}

// @entry forward_vec4
// Input channels in whole vectors.
fn a4(i: u32, k: u32) -> vec4f {
  let t = tap(i, k);
  if (!t.inside) { return vec4f(); }
  return x[(t.pixel * params.ci + k % params.ci) / 4u];
}
fn b4(j: u32, k: u32) -> vec4f {
  let depth = params.kh * params.kw * params.ci;
  if (j >= params.co || k >= depth) { return vec4f(); }
  return w[(j * depth + k) / 4u];
}

@compute @workgroup_size(256)
fn forward_vec4(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  tile((wg.y + wg.z * nwg.y) * 64u, wg.x * 64u, 0u, params.kh * params.kw * params.ci, lid);
}
