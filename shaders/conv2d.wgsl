// y[b,oy,ox,o] = bias[o] + Σ w[o,ky,kx,c]·xv[b, oy·stride+ky-pad_y, ox·stride+kx-pad_x, c] (+ residual). xv is x with every pixel
// repeated UP×UP times, surrounded by zeros. This is a product of pixels × output channels over k = (ky, kx, c).

// The input pixel that the window of output pixel (n, oy, ox) reads at tap t.
struct Tap { pixel: u32, inside: bool }
fn tap(n: u32, oy: u32, ox: u32, t: u32) -> Tap {
  let vy = oy * params.stride + t / params.kw;
  let vx = ox * params.stride + t % params.kw;
  let iy = (vy - params.pad_y) / UP;
  let ix = (vx - params.pad_x) / UP;
  let inside = vy >= params.pad_y && vx >= params.pad_x && iy < params.hi && ix < params.wi;
  return Tap((n * params.hi + iy) * params.wi + ix, inside);
}

// Returns the offset in x of element k of the window of output pixel i, or NONE.
const NONE = 0xffffffffu;
fn element(i: u32, k: u32) -> u32 {
  let t = k / params.ci;
  let at = i / params.wo;
  if (i >= params.b * params.ho * params.wo || t >= params.kh * params.kw) { return NONE; }
  let read = tap(at / params.ho, at % params.ho, i % params.wo, t);
  return select(NONE, read.pixel * params.ci + k % params.ci, read.inside);
}

// Returns the offset in dy of an output that reads input pixel i, or NONE. k = (row and column in the repeated pixel, ky, kx, o).
fn output_of(i: u32, k: u32) -> u32 {
  let taps = params.kh * params.kw;
  let t = k / params.co % taps;
  let copy = k / params.co / taps;
  let at = i / params.wi;
  let vy = at % params.hi * UP + copy / UP + params.pad_y - t / params.kw;
  let vx = i % params.wi * UP + copy % UP + params.pad_x - t % params.kw;
  let oy = vy / params.stride;
  let ox = vx / params.stride;
  // An unsigned number below zero wraps to a large one.
  if (i >= params.b * params.hi * params.wi || copy >= UP * UP || oy >= params.ho || ox >= params.wo
    || vy % params.stride != 0u || vx % params.stride != 0u) { return NONE; }
  return ((at / params.hi * params.ho + oy) * params.wo + ox) * params.co + k % params.co;
}

// Returns the offset in w of the weight from input channel c to output k, numbered as in `output_of`, or NONE.
fn weight_offset(c: u32, k: u32) -> u32 {
  let taps = params.kh * params.kw;
  if (c >= params.ci || k >= UP * UP * taps * params.co) { return NONE; }
  return (k % params.co * taps + k / params.co % taps) * params.ci + c;
}

// @entry forward, 256 threads
// @in x: f32 [b, hi, wi, ci]
// @in w: f32 | f16 [co, kh, kw, ci]
// @in bias: f32 [co]
// @in residual?: f32 [b, ho, wo, co]
// @out y: f32 [b, ho, wo, co]
#include "lib/tile.wgsl"
#include "lib/conv2d_epilogue.wgsl"
fn a4(i: u32, k: u32) -> vec4f {
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) {
    let at = element(i, k + q);
    if (at != NONE) { v[q] = x_at(at); }
  }
  return v;
}
fn b4(j: u32, k: u32) -> vec4f {
  let depth = params.kh * params.kw * params.ci;
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) { if (j < params.co && k + q < depth) { v[q] = w_at(j * depth + k + q); } }
  return v;
}

fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  tile((wg.y + wg.z * nwg.y) * TILE, wg.x * TILE, 0u, params.kh * params.kw * params.ci, lid);
}

// @entry forward_vec4, 256 threads
// @in x: f32 [b, hi, wi, ci]
// @in w: f32 | f16 [co, kh, kw, ci]
// @in bias: f32 [co]
// @in residual?: f32 [b, ho, wo, co]
// @out y: f32 [b, ho, wo, co]
// This entry needs input channels in whole vectors.
#include "lib/tile.wgsl"
#include "lib/conv2d_epilogue.wgsl"
fn a4(i: u32, k: u32) -> vec4f {
  let at = element(i, k);
  if (at == NONE) { return vec4f(); }
  return x_at(at / 4u);
}
fn b4(j: u32, k: u32) -> vec4f {
  let depth = params.kh * params.kw * params.ci;
  if (j >= params.co || k >= depth) { return vec4f(); }
  return w_at((j * depth + k) / 4u);
}

fn forward_vec4(wg: vec3u, nwg: vec3u, lid: u32) {
  tile((wg.y + wg.z * nwg.y) * TILE, wg.x * TILE, 0u, params.kh * params.kw * params.ci, lid);
}

// @section patches
#include "lib/conv2d_patch.wgsl"

// @section taps
// @in x: f32 [b, hi, wi, ci]
// @in w: f32 | f16 [co, kh, kw, ci]
fn sizes() -> Sizes { return Sizes(params.hi, params.wi, params.ci, params.ho, params.wo, params.co, params.pad_y, params.pad_x); }
fn source4(i: u32) -> vec4f { return x_at(i); }
fn tap4(o: u32, t: u32, c: u32) -> vec4f {
  if (o >= params.co) { return vec4f(); }
  return w_at((o * 9u + t) * (params.ci / 4u) + c);
}

// @section taps_backward
// @in w: f32 | f16 [co, kh, kw, ci]
// @in dy: f32 [b, ho, wo, co]
// Computes dx from dy with the same patches. The windows are of dy, the taps are in reverse order, and every weight leads from
// its output channel to its input channel.
fn sizes() -> Sizes { return Sizes(params.ho, params.wo, params.co, params.hi, params.wi, params.ci, 2u - params.pad_y, 2u - params.pad_x); }
fn source4(i: u32) -> vec4f { return dy_at(i) * gradient_scale(); }
fn tap4(c: u32, t: u32, o: u32) -> vec4f {
  if (c >= params.ci) { return vec4f(); }
  let at = (o * 36u + 8u - t) * params.ci + c;
  let step = 9u * params.ci;
  return vec4f(w_at(at), w_at(at + step), w_at(at + 2u * step), w_at(at + 3u * step));
}

// @section scale_backward
// The gradient of a mean over the pixels is too small for f16. Before dy is rounded to f16 (if ROUNDED), it is multiplied by a
// power of two near the number of pixels, and the sum is divided by the same power. Both are exact.
fn gradient_scale() -> f32 { return select(1.0, f32(1u << firstLeadingBit(params.b * params.ho * params.wo)), ROUNDED == 1u); }

// @section finish
// @in bias: f32 [co]
// @in residual?: f32 [b, ho, wo, co]
// @out y: f32 [b, ho, wo, co]
// Stores sums in y. The next two sections store them in dx, or in parts for `join`.
fn put4(at: Place, row: u32, column: u32, o: u32, part: u32, sum: vec4f) {
  let i = target4(at, row, column, o);
  if (i == NONE) { return; }
  var value = sum + bias_at(o);
  if (params.has_residual == 1u) { value += residual_at(i); }
  y_put(i, value);
}

// @section finish_backward
// @out dx: f32 [b, hi, wi, ci]
fn put4(at: Place, row: u32, column: u32, o: u32, part: u32, sum: vec4f) {
  let i = target4(at, row, column, o);
  if (i != NONE) { dx_put(i, sum / gradient_scale()); }
}

// @section keep
// @out parts: f32 [PARTS, b, ho, wo, co] or, backward, [PARTS, b, hi, wi, ci]
fn put4(at: Place, row: u32, column: u32, o: u32, part: u32, sum: vec4f) {
  let z = sizes();
  let i = target4(at, row, column, o);
  if (i != NONE) { parts_put(part * params.b * z.ho * z.wo * (z.co / 4u) + i, sum); }
}

// @entry windows, 256 threads
#include "lib/conv2d_patch_f32.wgsl"

fn windows(wg: vec3u, nwg: vec3u, lid: u32) {
  convolve(wg.x, wg.y + wg.z * nwg.y, lid);
}

// @entry matrix, 256 threads
#include "lib/conv2d_patch_f16.wgsl"

fn matrix(wg: vec3u, nwg: vec3u, lid: u32, warp: u32) {
  convolve(wg.x, wg.y + wg.z * nwg.y, warp, lid);
}

// @entry join, 256 threads
// @in bias: f32 [co]
// @in residual?: f32 [b, ho, wo, co]
// @in parts: f32 [PARTS, b, ho, wo, co]
// @out y: f32 [b, ho, wo, co]
// Adds up the sums over the parts of the channels in a fixed order.
fn join(wg: vec3u, nwg: vec3u, lid: u32) {
  let size = params.b * params.ho * params.wo * params.co / 4u;
  let i = flat(wg, nwg) * 256u + lid;
  if (i >= size) { return; }
  var sum = parts_at(i);
  for (var part = 1u; part < PARTS; part++) { sum += parts_at(part * size + i); }
  sum += bias_at(i % (params.co / 4u));
  if (params.has_residual == 1u) { sum += residual_at(i); }
  y_put(i, sum);
}

// @entry few, 256 threads
// @in bias: f32 [co]
// @in residual?: f32 [b, ho, wo, co]
// @out y: f32 [b, ho, wo, co]
// For few output channels, e.g. of an image. Two threads for each pixel share its input channels, 16 at a time.
var<workgroup> window: array<vec4f, 900>;

fn few(wg: vec3u, nwg: vec3u, lid: u32) {
  let thread = lid % 256u;
  let at = place(wg.y + wg.z * nwg.y);
  if (at.n >= params.b) { return; }
  let ci4 = params.ci / 4u;
  let px = thread % 128u;
  let side = thread / 128u;
  var sum = vec4f();
  for (var lap = 0u; lap < MOST; lap++) { let c0 = lap * 4u; if (!(c0 < ci4)) { break; }
    workgroupBarrier();
    for (var round = 0u; round < 3u; round++) {
      let i = round * 256u + thread;
      if (i < 720u) {
        var v = vec4f();
        if (c0 + i % 4u < ci4) { v = pixel4(pixel(at, i / 4u), c0 + i % 4u); }
        window[min(i / 4u, 179u) * 5u + i % 4u] = v;
      }
    }
    workgroupBarrier();
    for (var t = 0u; t < 9u; t++) {
#repeat half 2
      if (c0 + side + 2 * $half < ci4) {
        let v = window[((px / 16u + t / 3u) * 18u + px % 16u + t % 3u) * 5u + side + 2 * $half];
#repeat o CO
        sum[$o] += dot(v, tap4($o, t, c0 + side + 2 * $half));
#end
      }
#end
    }
  }
  workgroupBarrier();
  window[thread] = sum;
  workgroupBarrier();
  let oy = at.oy + px / 16u;
  let ox = at.ox + px % 16u;
  if (side == 1u || oy >= params.ho || ox >= params.wo) { return; }
  sum += window[thread + 128u];
  let o = ((at.n * params.ho + oy) * params.wo + ox) * CO;
#repeat q CO
  put_few(o + $q, $q, sum[$q]);
#end
}
fn put_few(i: u32, o: u32, sum: f32) {
  var value = sum + bias_at(o);
  if (params.has_residual == 1u) { value += residual_at(i); }
  y_put(i, value);
}

// @entry backward_input, 256 threads
// @in w: f32 | f16 [co, kh, kw, ci]
// @in dy: f32 [b, ho, wo, co]
// @out dx: f32 [b, hi, wi, ci]
// forward: y[oy,ox,o] += w[o,ky,kx,c]·xv[oy·stride+ky-pad_y, ox·stride+kx-pad_x, c]
// ⇒  dx[iy,ix,c] = Σ w[o,ky,kx,c]·dy[oy,ox,o] over the windows and taps that read (iy, ix)
#include "lib/tile.wgsl"
fn a4(i: u32, k: u32) -> vec4f {
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) {
    let at = output_of(i, k + q);
    if (at != NONE) { v[q] = dy_at(at); }
  }
  return v;
}
fn b4(j: u32, k: u32) -> vec4f {
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) {
    let at = weight_offset(j, k + q);
    if (at != NONE) { v[q] = w_at(at); }
  }
  return v;
}
fn put(i: u32, j: u32, sum: f32) {
  if (i < params.b * params.hi * params.wi && j < params.ci) { dx_put(i * params.ci + j, sum); }
}

fn backward_input(wg: vec3u, nwg: vec3u, lid: u32) {
  tile((wg.y + wg.z * nwg.y) * TILE, wg.x * TILE, 0u, UP * UP * params.kh * params.kw * params.co, lid);
}

// @entry backward_input_vec4, 256 threads
// @in w: f32 | f16 [co, kh, kw, ci]
// @in dy: f32 [b, ho, wo, co]
// @out dx: f32 [b, hi, wi, ci]
// This entry needs output channels in whole vectors.
#include "lib/tile.wgsl"
fn a4(i: u32, k: u32) -> vec4f {
  let at = output_of(i, k);
  if (at == NONE) { return vec4f(); }
  return dy_at(at / 4u);
}
fn b4(j: u32, k: u32) -> vec4f {
  let at = weight_offset(j, k);
  if (at == NONE) { return vec4f(); }
  let step = params.kh * params.kw * params.ci;
  return vec4f(w_at(at), w_at(at + step), w_at(at + 2u * step), w_at(at + 3u * step));
}
fn put(i: u32, j: u32, sum: f32) {
  if (i < params.b * params.hi * params.wi && j < params.ci) { dx_put(i * params.ci + j, sum); }
}

fn backward_input_vec4(wg: vec3u, nwg: vec3u, lid: u32) {
  tile((wg.y + wg.z * nwg.y) * TILE, wg.x * TILE, 0u, UP * UP * params.kh * params.kw * params.co, lid);
}

// @entry join_backward, 256 threads
// @in parts: f32 [PARTS, b, hi, wi, ci]
// @out dx: f32 [b, hi, wi, ci]
fn join_backward(wg: vec3u, nwg: vec3u, lid: u32) {
  let size = params.b * params.hi * params.wi * params.ci / 4u;
  let i = flat(wg, nwg) * 256u + lid;
  if (i >= size) { return; }
  var sum = parts_at(i);
  for (var part = 1u; part < PARTS; part++) { sum += parts_at(part * size + i); }
  dx_put(i, sum / gradient_scale());
}

// @entry backward_weight, 256 threads
// @in x: f32 [b, hi, wi, ci]
// @in dy: f32 [b, ho, wo, co]
// @inout dw: f32 [p, co, kh, kw, ci]
// @inout dbias?: f32 [p, co]
// forward: y[i,o] = bias[o] + Σ w[o,ky,kx,c]·window[i,ky,kx,c]
// ⇒  dw[o,ky,kx,c] += Σ dy[i,o]·window[i,ky,kx,c], dbias[o] += Σ dy[i,o] over output pixels i
// Each of the p values of z takes one chunk of the pixels.
#include "lib/tile.wgsl"
#include "lib/column_sums.wgsl"
var<private> part: u32;
var<private> end: u32;

fn column(i: u32, j: u32) -> f32 {
  if (i >= end || j >= params.co) { return 0.0; }
  return dy_at(i * params.co + j);
}
fn a4(o: u32, i: u32) -> vec4f {
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) { v[q] = column(i + q, o); }
  return v;
}
fn b4(j: u32, i: u32) -> vec4f {
  let t = j / params.ci;
  let c = j % params.ci;
  var ox = i % params.wo;
  var oy = i / params.wo % params.ho;
  var n = i / params.wo / params.ho;
  var v: vec4f;
  if (t >= params.kh * params.kw) { return v; }
  for (var q = 0u; q < 4u; q++) {
    let read = tap(n, oy, ox, t);
    if (read.inside && i + q < end) { v[q] = x_at(read.pixel * params.ci + c); }
    ox++;
    if (ox == params.wo) {
      ox = 0u;
      oy++;
    }
    if (oy == params.ho) {
      oy = 0u;
      n++;
    }
  }
  return v;
}
fn put(o: u32, j: u32, sum: f32) {
  let depth = params.kh * params.kw * params.ci;
  if (o < params.co && j < depth) { dw_add((part * params.co + o) * depth + j, sum); }
}

fn backward_weight(wg: vec3u, lid: u32) {
  part = wg.z;
  let pixels = params.b * params.ho * params.wo;
  let chunk = (pixels + params.p - 1u) / params.p;
  let start = min(wg.z * chunk, pixels);
  let stop = min(start + chunk, pixels);
  end = stop;
  tile(wg.y * TILE, wg.x * TILE, start, stop, lid);
  if (wg.x == 0u && params.has_dbias == 1u) {
    let sum = column_sum(wg.y * TILE, start, stop, lid);
    let j = wg.y * TILE + lid;
    if (lid < TILE && j < params.co) { dbias_add(part * params.co + j, sum); }
  }
}
