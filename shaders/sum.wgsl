// Computes y = scale·Σ x in one workgroup.
#include "lib/workgroup_sum.wgsl"

// @entry forward, 256 threads
// @in x: f32 [n]
// @out y: f32 [1]
fn forward(lid: u32) {
  var own = 0.0;
  for (var lap = 0u; lap < MOST; lap++) { let i = lid + lap * 256u; if (!(i < params.n)) { break; } own += x_at(i); }
  let all = workgroup_sum(own, lid);
  if (lid == 0u) { y_put(0, all * params.scale); }
}
