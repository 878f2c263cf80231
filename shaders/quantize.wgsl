// codes[r] = argminᵥ ‖ẑ[r] - ê[v]‖². The hat divides a row by its length, and the lowest v wins between equal distances.
fn unit_scale(square: f32) -> f32 { return 1.0 / max(sqrt(square), 1e-12); }

// @entry forward, 256 threads
// @in z: f32 [r, d]
// @in codebook: f32 [v, d]
// @out codes: u32 [r]
// @out distance?: f32 [r]
// A workgroup takes ROWS rows of z. Its threads divide the codes among them.
var<workgroup> rows: array<f32, ROWS * D>;
var<workgroup> least: array<f32, 256>;
var<workgroup> which: array<u32, 256>;

fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let r0 = flat(wg, nwg) * ROWS;
  if (lid < ROWS && r0 + lid < params.r) {
    var square = 0.0;
    for (var j = 0u; j < D; j++) {
      let x = z_at((r0 + lid) * D + j);
      square += x * x;
    }
    let scale = unit_scale(square);
    for (var j = 0u; j < D; j++) { rows[lid * D + j] = z_at((r0 + lid) * D + j) * scale; }
  }
  workgroupBarrier();
  var best: array<f32, ROWS>;
  var code: array<u32, ROWS>;
  for (var n = 0u; n < ROWS; n++) { best[n] = 3e38; }
  for (var lap = 0u; lap < MOST; lap++) { let v = lid + lap * 256u; if (!(v < params.v)) { break; }
    var e = array<f32, D>();
    var square = 0.0;
    for (var j = 0u; j < D; j++) {
      e[j] = codebook_at(v * D + j);
      square += e[j] * e[j];
    }
    let scale = unit_scale(square);
    for (var j = 0u; j < D; j++) { e[j] *= scale; }
    for (var n = 0u; n < ROWS; n++) {
      var sum = 0.0;
      for (var j = 0u; j < D; j++) {
        let x = rows[n * D + j] - e[j];
        sum += x * x;
      }
      if (sum < best[n]) {
        best[n] = sum;
        code[n] = v;
      }
    }
  }
  for (var n = 0u; n < ROWS; n++) {
    least[lid] = best[n];
    which[lid] = code[n];
    for (var lap = 0u; lap < 32u; lap++) { let half = 128u >> lap; if (!(half > 0u)) { break; }
      workgroupBarrier();
      if (lid < half) {
        let other = lid + half;
        if (least[other] < least[lid] || (least[other] == least[lid] && which[other] < which[lid])) {
          least[lid] = least[other];
          which[lid] = which[other];
        }
      }
    }
    workgroupBarrier();
    if (lid == 0u && r0 + n < params.r) {
      codes_put(r0 + n, which[0]);
      if (params.has_distance == 1u) { distance_put(r0 + n, least[0]); }
    }
    workgroupBarrier();
  }
}

// @entry backward, 64 threads
// @in z: f32 [r, d]
// @in codebook: f32 [v, d]
// @in codes: u32 [r]
// @in dy: f32 [r, d]
// @in loss_scale?: f32 [2]
// @out dz: f32 [r, d]
// @inout dcodebook: f32 [v, d]
#include "lib/loss_scale.wgsl"
// forward: y = ẑ + sg(ê - ẑ); loss += codebook_weight·mean((ê - sg ẑ)²) + commitment_weight·mean((ẑ - sg ê)²)
// ⇒  dẑ = dy + commitment_weight·2(ẑ - ê)/(r·d), dê = codebook_weight·Σ 2(ê - ẑ)/(r·d) over the rows of that code
// The first workgroups take 64 rows of z each. After them, one workgroup takes each code.
struct Unit { row: array<f32, D>, scale: f32 }

fn scaled(x: array<f32, D>) -> Unit {
  var row = x;
  var square = 0.0;
  for (var j = 0u; j < D; j++) { square += row[j] * row[j]; }
  let scale = unit_scale(square);
  for (var j = 0u; j < D; j++) { row[j] *= scale; }
  return Unit(row, scale);
}
fn unit_z(r: u32) -> Unit {
  var row: array<f32, D>;
  for (var j = 0u; j < D; j++) { row[j] = z_at(r * D + j); }
  return scaled(row);
}
fn unit_code(v: u32) -> Unit {
  var row: array<f32, D>;
  for (var j = 0u; j < D; j++) { row[j] = codebook_at(v * D + j); }
  return scaled(row);
}
fn code_of(r: u32) -> u32 { return min(codes_at(r), params.v - 1u); }

// forward: unit = x/‖x‖  ⇒  dx = (dunit - unit·(unit·dunit))/‖x‖. A row that is too short to be normalised was only scaled.
fn through(unit: Unit, dunit: array<f32, D>) -> array<f32, D> {
  var u = unit.row;
  var g = dunit;
  var along = 0.0;
  if (unit.scale < 1e12) { for (var j = 0u; j < D; j++) { along += u[j] * g[j]; } }
  for (var j = 0u; j < D; j++) { g[j] = (g[j] - u[j] * along) * unit.scale; }
  return g;
}

fn row_gradient(r: u32, mean: f32) {
  if (r >= params.r) { return; }
  let unit = unit_z(r);
  var u = unit.row;
  var e = unit_code(code_of(r)).row;
  var g: array<f32, D>;
  for (var j = 0u; j < D; j++) { g[j] = dy_at(r * D + j) + params.commitment_weight * mean * (u[j] - e[j]); }
  g = through(unit, g);
  for (var j = 0u; j < D; j++) { dz_put(r * D + j, g[j]); }
}

var<workgroup> partial: array<f32, 64>;

fn backward(wg: vec3u, nwg: vec3u, lid: u32) {
  let at = flat(wg, nwg);
  let blocks = (params.r + 63u) / 64u;
  let mean = scale_of(2.0 / f32(params.r * D));
  if (at < blocks) {
    row_gradient(at * 64u + lid, mean);
    return;
  }
  let v = at - blocks;
  if (v >= params.v) { return; }
  let unit = unit_code(v);
  var e = unit.row;
  var g: array<f32, D>;
  for (var lap = 0u; lap < MOST; lap++) { let r = lid + lap * 64u; if (!(r < params.r)) { break; }
    if (code_of(r) == v) {
      var u = unit_z(r).row;
      for (var j = 0u; j < D; j++) { g[j] += e[j] - u[j]; }
    }
  }
  for (var j = 0u; j < D; j++) {
    partial[lid] = g[j];
    for (var lap = 0u; lap < 32u; lap++) { let half = 32u >> lap; if (!(half > 0u)) { break; }
      workgroupBarrier();
      if (lid < half) { partial[lid] += partial[lid + half]; }
    }
    workgroupBarrier();
    g[j] = params.codebook_weight * mean * partial[0];
    workgroupBarrier();
  }
  g = through(unit, g);
  if (lid == 0u) { for (var j = 0u; j < D; j++) { dcodebook_add(v * D + j, g[j]); } }
}
