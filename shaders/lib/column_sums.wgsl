// Sums columns j0..j0+TILE-1 of a matrix over rows k0..k1, for the gradient of a bias. The including entry defines the matrix:
//   fn column(k: u32, j: u32) -> f32, which is zero outside of the matrix
// Every fourth row is added up, then the four sums. Every tile uses this order.
const LANES = 4u;
var<workgroup> column_parts: array<f32, LANES * TILE>;

/// The sum of column j0 + lid, for lid < TILE.
fn column_sum(j0: u32, k0: u32, k1: u32, lid: u32) -> f32 {
  for (var round = 0u; round < LANES * TILE / TILE_THREADS; round++) {
    let at = round * TILE_THREADS + lid % TILE_THREADS;
    var part = 0.0;
    for (var lap = 0u; lap < MOST; lap++) { let k = (k0 + at / TILE) + lap * LANES; if (!(k < k1)) { break; } part += column(k, j0 + at % TILE); }
    column_parts[at] = part;
  }
  workgroupBarrier();
  var sum = 0.0;
  for (var lane = 0u; lane < LANES; lane++) { sum += column_parts[lane * TILE + lid % TILE]; }
  return sum;
}
