// y[n] += Σᵣ x[r,n]

// @entry forward, 256 threads
// @in x: f32 [r, n]
// @inout y: f32 [n]
// A workgroup sums COLUMNS columns. Its lanes take the rows in turn.
#include "lib/lane_sum.wgsl"
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let j = flat(wg, nwg) * COLUMNS + lid % COLUMNS;
  var own = 0.0;
  if (j < params.n) {
    for (var lap = 0u; lap < MOST; lap++) { let i = (lid / COLUMNS) + lap * (256u / COLUMNS); if (!(i < params.r)) { break; } own += x_at(i * params.n + j); }
  }
  let all = lane_sum(own, lid);
  if (lid < COLUMNS && j < params.n) { y_add(j, all); }
}

// @entry add, 256 threads
// @in x: f32 [r, n]
// @inout y: f32 [n]
// Adds a single row. One thread takes VEC elements.
fn add(wg: vec3u, nwg: vec3u, lid: u32) {
  let j = flat(wg, nwg) * 256u + lid;
  if (j < params.n / VEC) { y_add(j, x_at(j)); }
}
