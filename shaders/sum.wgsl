// y = scale·Σ x, by one workgroup.
#include "lib/workgroup_sum.wgsl"

// @entry forward
@compute @workgroup_size(256)
fn forward(@builtin(local_invocation_index) lid: u32) {
  var own = 0.0;
  for (var i = lid; i < params.n; i += 256u) { own += x[i]; }
  let all = workgroup_sum(own, lid);
  if (lid == 0u) { y[0] = all * params.scale; }
}
