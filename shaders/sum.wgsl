// Computes y = scale·Σ x in one workgroup.
#include "lib/workgroup_sum.wgsl"

// @entry forward, 256 threads
// @in x: f32 [n]
// @out y: f32 [1]
fn forward(lid: u32) {
  var own = 0.0;
  for (var i = lid; i < params.n; i += 256u) { own += x_at(i); }
  let all = workgroup_sum(own, lid);
  if (lid == 0u) { y_put(0, all * params.scale); }
}
