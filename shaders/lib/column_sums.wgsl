// Σ over rows k0..k1 of a matrix's columns j0..j0+63, for the gradient of a bias. The including entry gives the matrix:
//   fn column(k: u32, j: u32) -> f32: zero outside
var<workgroup> quarters: array<f32, 256>;

/// The sum of column j0 + lid, for lid < 64.
fn column_sum(j0: u32, k0: u32, k1: u32, lid: u32) -> f32 {
  var sum = 0.0;
  for (var k = k0 + lid / 64u; k < k1; k += 4u) { sum += column(k, j0 + lid % 64u); }
  quarters[lid] = sum;
  workgroupBarrier();
  return quarters[lid % 64u] + quarters[lid % 64u + 64u] + quarters[lid % 64u + 128u] + quarters[lid % 64u + 192u];
}
