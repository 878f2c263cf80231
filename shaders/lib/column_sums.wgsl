// Σ over rows k0..k1 of a matrix's columns j0..j0+TILE-1, for the gradient of a bias. The including entry gives the matrix:
//   fn column(k: u32, j: u32) -> f32: zero outside
var<workgroup> column_parts: array<f32, TILE_THREADS>;

/// The sum of column j0 + lid, for lid < TILE.
fn column_sum(j0: u32, k0: u32, k1: u32, lid: u32) -> f32 {
  var sum = 0.0;
  for (var k = k0 + lid / TILE; k < k1; k += TILE_THREADS / TILE) { sum += column(k, j0 + lid % TILE); }
  column_parts[lid] = sum;
  workgroupBarrier();
  sum = 0.0;
  for (var q = lid % TILE; q < TILE_THREADS; q += TILE) { sum += column_parts[q]; }
  return sum;
}
