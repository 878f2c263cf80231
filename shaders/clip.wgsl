// norm = scale·√Σ sums;  hyper[6] = scale·min(1, max_norm / (norm + 1e-6));  hyper[7] = 1 where norm is not finite.
#include "lib/workgroup_sum.wgsl"

// @entry forward
@compute @workgroup_size(256)
fn forward(@builtin(local_invocation_index) lid: u32) {
  var own = 0.0;
  for (var i = lid; i < params.k; i += 256u) { own += sums[i]; }
  let all = params.scale * sqrt(workgroup_sum(own, lid));
  if (lid == 0u) {
    norm[0] = all;
    hyper[6] = params.scale * min(1.0, params.max_norm / (all + 1e-6));
    // By its bits: compilers may assume that floats are finite.
    if ((bitcast<u32>(all) & 0x7f800000u) == 0x7f800000u) { hyper[7] = 1.0; }
  }
}
