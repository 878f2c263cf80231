// y[m] = Σ_c weight[c]·(x̂[m,c] - t̂[m,c])², where the hat divides a row by its length + 1e-10. A workgroup has ROWS rows, and its
// lanes take the columns of a row in turn.
const LANES = 256u / ROWS;
const EPSILON = 1e-10;
var<workgroup> lane_parts: array<vec2f, 256>;

// The sums of v over the lanes of each row, in lane order. It must be called in uniform control flow.
fn row_sum(v: vec2f, lid: u32) -> vec2f {
  workgroupBarrier();
  lane_parts[lid] = v;
  workgroupBarrier();
  var all = vec2f();
  for (var q = 0u; q < LANES; q++) { all += lane_parts[lid / LANES * LANES + q]; }
  return all;
}

fn weight_of(j: u32) -> f32 {
  if (params.has_weight == 0u) { return 1.0; }
  return weight_at(j);
}

// The lengths of row i of x and of truth.
fn lengths(i: u32, lid: u32) -> vec2f {
  var squares = vec2f();
  if (i < params.m) {
    for (var lap = 0u; lap < MOST; lap++) {
      let j = (lid % LANES) + lap * LANES;
      if (!(j < params.c)) { break; }
      let v = vec2f(x_at(i * params.c + j), truth_at(i * params.c + j));
      squares += v * v;
    }
  }
  return sqrt(row_sum(squares, lid));
}

// @entry forward, 256 threads
// @in x: f32 [m, c]
// @in truth: f32 [m, c]
// @in weight?: f32 [c]
// @out y: f32 [m]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * ROWS + lid / LANES;
  let inverse = 1.0 / (lengths(i, lid) + EPSILON);
  var sum = 0.0;
  if (i < params.m) {
    for (var lap = 0u; lap < MOST; lap++) {
      let j = (lid % LANES) + lap * LANES;
      if (!(j < params.c)) { break; }
      let d = x_at(i * params.c + j) * inverse.x - truth_at(i * params.c + j) * inverse.y;
      sum += weight_of(j) * d * d;
    }
  }
  let all = row_sum(vec2f(sum, 0.0), lid).x;
  if (i < params.m && lid % LANES == 0u) { y_put(i, all); }
}

// @entry backward, 256 threads
// @in x: f32 [m, c]
// @in truth: f32 [m, c]
// @in weight?: f32 [c]
// @in loss_scale?: f32 [2]
// @out dx: f32 [m, c]
// forward: unit = x/(length + ε), y = Σ weight·(unit - want)²
// ⇒  dunit = 2·weight·(unit - want), dx = dunit/(length + ε) - unit·Σ(dunit·unit)/length
#include "lib/loss_scale.wgsl"
fn dunit(at: u32, j: u32, inverse: vec2f) -> f32 {
  return 2.0 * scale_of(params.scale) * weight_of(j) * (x_at(at) * inverse.x - truth_at(at) * inverse.y);
}

fn backward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * ROWS + lid / LANES;
  let norms = lengths(i, lid);
  let inverse = 1.0 / (norms + EPSILON);
  var sum = 0.0;
  if (i < params.m) {
    for (var lap = 0u; lap < MOST; lap++) {
      let j = (lid % LANES) + lap * LANES;
      if (!(j < params.c)) { break; }
      let at = i * params.c + j;
      sum += dunit(at, j, inverse) * x_at(at) * inverse.x;
    }
  }
  let along = row_sum(vec2f(sum, 0.0), lid).x;
  if (i >= params.m) { return; }
  let back = select(0.0, along / norms.x, norms.x > 0.0);
  for (var lap = 0u; lap < MOST; lap++) { let j = (lid % LANES) + lap * LANES; if (!(j < params.c)) { break; }
    let at = i * params.c + j;
    dx_put(at, inverse.x * (dunit(at, j, inverse) - x_at(at) * back));
  }
}
