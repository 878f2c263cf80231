// A patch by 128 output channels with subgroup matrices. A subgroup computes 2 rows of pixels by 64 channels. Each step loads 32
// input channels, rounded to f16, and the weights of one row of the windows. The 32 values of a pixel, or of an output channel,
// take 10 vectors of space.
alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sums = subgroup_matrix_result<f32, 16, 16>;
var<workgroup> pixels: array<vec2u, 1800>;
var<workgroup> taps: array<vec2u, 3840>;

fn halves(v: vec4f) -> vec2u { return vec2u(pack2x16float(v.xy), pack2x16float(v.zw)); }

// Stores 16 pixels × 16 channels of sums from workgroup memory, 8 channels in each thread.
fn put8(at: Place, row: u32, o: u32, part: u32, first: u32, lane: u32) {
  for (var q = 0u; q < 2u; q++) {
    let i = first + lane * 4u + q * 2u;
    put4(at, row, lane / 2u, o + lane % 2u * 2u + q, part, vec4f(bitcast<vec2f>(taps[i]), bitcast<vec2f>(taps[i + 1u])));
  }
}

fn convolve(slab: u32, index: u32, warp: u32, lid: u32) {
  let z = sizes();
  let slabs = (z.co + 127u) / 128u;
  let at = place(index);
  if (at.n >= params.b) { return; }
  let o0 = slab % slabs * 128u;
  let part = slab / slabs;
  let ci4 = z.ci / 4u;
  let down = warp / 2u % 4u * 2u;
  let right = warp % 2u * 64u;
  let scratch = warp % 8u * 256u;
  var s00: Sums;
  var s01: Sums;
  var s02: Sums;
  var s03: Sums;
  var s10: Sums;
  var s11: Sums;
  var s12: Sums;
  var s13: Sums;
  // This thread copies vector `lane` of six pixels and of the taps of four output channels, starting at `own`.
  let lane = lid % 8u;
  let own = lid / 8u;
  var starts: array<u32, 6>;
  for (var i = 0u; i < 6u; i++) { starts[i] = pixel(at, own + i * 32u); }
  for (var lap = 0u; lap < MOST; lap++) {
    let c = (part * (ci4 / PARTS)) + lap * 8u;
    if (!(c < (part + 1u) * (ci4 / PARTS))) { break; }
    for (var ky = 0u; ky < 3u; ky++) {
      workgroupBarrier();
      if (ky == 0u) {
        for (var i = 0u; i < 6u; i++) {
          if (own + i * 32u < 180u) { pixels[(own + i * 32u) * 10u + lane] = halves(pixel4(starts[i], c + lane)); }
        }
      }
      for (var kx = 0u; kx < 3u; kx++) {
        for (var i = 0u; i < 4u; i++) {
          taps[(kx * 128u + own + i * 32u) * 10u + lane] = halves(tap4(o0 + own + i * 32u, ky * 3u + kx, c + lane));
        }
      }
      workgroupBarrier();
      for (var kx = 0u; kx < 3u; kx++) {
        {
          let a0 = subgroupMatrixLoad<Left, row_major>(&pixels, ((down + ky + 0u) * 18u + kx) * 10u + 0u, 10u);
          let a1 = subgroupMatrixLoad<Left, row_major>(&pixels, ((down + ky + 1u) * 18u + kx) * 10u + 0u, 10u);
          let b0 = subgroupMatrixLoad<Right, col_major>(&taps, (kx * 128u + right + 0u) * 10u + 0u, 10u);
          s00 = subgroupMatrixMultiplyAccumulate(a0, b0, s00);
          s10 = subgroupMatrixMultiplyAccumulate(a1, b0, s10);
          let b1 = subgroupMatrixLoad<Right, col_major>(&taps, (kx * 128u + right + 16u) * 10u + 0u, 10u);
          s01 = subgroupMatrixMultiplyAccumulate(a0, b1, s01);
          s11 = subgroupMatrixMultiplyAccumulate(a1, b1, s11);
          let b2 = subgroupMatrixLoad<Right, col_major>(&taps, (kx * 128u + right + 32u) * 10u + 0u, 10u);
          s02 = subgroupMatrixMultiplyAccumulate(a0, b2, s02);
          s12 = subgroupMatrixMultiplyAccumulate(a1, b2, s12);
          let b3 = subgroupMatrixLoad<Right, col_major>(&taps, (kx * 128u + right + 48u) * 10u + 0u, 10u);
          s03 = subgroupMatrixMultiplyAccumulate(a0, b3, s03);
          s13 = subgroupMatrixMultiplyAccumulate(a1, b3, s13);
        }
        {
          let a0 = subgroupMatrixLoad<Left, row_major>(&pixels, ((down + ky + 0u) * 18u + kx) * 10u + 4u, 10u);
          let a1 = subgroupMatrixLoad<Left, row_major>(&pixels, ((down + ky + 1u) * 18u + kx) * 10u + 4u, 10u);
          let b0 = subgroupMatrixLoad<Right, col_major>(&taps, (kx * 128u + right + 0u) * 10u + 4u, 10u);
          s00 = subgroupMatrixMultiplyAccumulate(a0, b0, s00);
          s10 = subgroupMatrixMultiplyAccumulate(a1, b0, s10);
          let b1 = subgroupMatrixLoad<Right, col_major>(&taps, (kx * 128u + right + 16u) * 10u + 4u, 10u);
          s01 = subgroupMatrixMultiplyAccumulate(a0, b1, s01);
          s11 = subgroupMatrixMultiplyAccumulate(a1, b1, s11);
          let b2 = subgroupMatrixLoad<Right, col_major>(&taps, (kx * 128u + right + 32u) * 10u + 4u, 10u);
          s02 = subgroupMatrixMultiplyAccumulate(a0, b2, s02);
          s12 = subgroupMatrixMultiplyAccumulate(a1, b2, s12);
          let b3 = subgroupMatrixLoad<Right, col_major>(&taps, (kx * 128u + right + 48u) * 10u + 4u, 10u);
          s03 = subgroupMatrixMultiplyAccumulate(a0, b3, s03);
          s13 = subgroupMatrixMultiplyAccumulate(a1, b3, s13);
        }
      }
    }
  }
  workgroupBarrier();
  subgroupMatrixStore<row_major>(&taps, scratch + 0u, s00, 8u);
  subgroupMatrixStore<row_major>(&taps, scratch + 128u, s10, 8u);
  workgroupBarrier();
  put8(at, down + 0u, (o0 + right + 0u) / 4u, part, scratch + 0u, lid % 32u);
  put8(at, down + 1u, (o0 + right + 0u) / 4u, part, scratch + 128u, lid % 32u);
  workgroupBarrier();
  subgroupMatrixStore<row_major>(&taps, scratch + 0u, s01, 8u);
  subgroupMatrixStore<row_major>(&taps, scratch + 128u, s11, 8u);
  workgroupBarrier();
  put8(at, down + 0u, (o0 + right + 16u) / 4u, part, scratch + 0u, lid % 32u);
  put8(at, down + 1u, (o0 + right + 16u) / 4u, part, scratch + 128u, lid % 32u);
  workgroupBarrier();
  subgroupMatrixStore<row_major>(&taps, scratch + 0u, s02, 8u);
  subgroupMatrixStore<row_major>(&taps, scratch + 128u, s12, 8u);
  workgroupBarrier();
  put8(at, down + 0u, (o0 + right + 32u) / 4u, part, scratch + 0u, lid % 32u);
  put8(at, down + 1u, (o0 + right + 32u) / 4u, part, scratch + 128u, lid % 32u);
  workgroupBarrier();
  subgroupMatrixStore<row_major>(&taps, scratch + 0u, s03, 8u);
  subgroupMatrixStore<row_major>(&taps, scratch + 128u, s13, 8u);
  workgroupBarrier();
  put8(at, down + 0u, (o0 + right + 48u) / 4u, part, scratch + 0u, lid % 32u);
  put8(at, down + 1u, (o0 + right + 48u) / 4u, part, scratch + 128u, lid % 32u);
}
