// norm = scale·√Σ sums;  hyper[GRAD_SCALE] = scale·min(1, max_norm / (norm + 1e-6));  hyper[SKIP] = 1 if norm is not finite.
// With loss_scale [s, good] the factor is scale / s. If the norm is not finite, only this step is skipped and s is halved. After
// `growth` good steps in a row s is doubled.
#include "lib/workgroup_sum.wgsl"

// @entry forward, 256 threads
// @in sums: f32 [k]
// @inout hyper: f32 [8]
// @inout loss_scale?: f32 [2]
// @out norm: f32 [1]
fn forward(lid: u32) {
  var own = 0.0;
  for (var lap = 0u; lap < MOST; lap++) { let i = lid + lap * 256u; if (!(i < params.k)) { break; } own += sums_at(i); }
  let sum = workgroup_sum(own, lid);
  if (lid != 0u) { return; }
  var factor = params.scale;
  if (params.has_loss_scale == 1u) { factor /= loss_scale_at(0); }
  let all = factor * sqrt(sum);
  norm_put(0, all);
  hyper_put(GRAD_SCALE, factor * min(1.0, params.max_norm / (all + 1e-6)));
  // The bits are tested, since compilers may assume that floats are finite.
  let good = (bitcast<u32>(all) & 0x7f800000u) != 0x7f800000u;
  if (!good) { hyper_put(SKIP, 1.0); }
  if (params.has_loss_scale == 0u || loss_scale_at(0) < 1.0) { return; }
  if (good) {
    hyper_put(SKIP, 0.0);
    loss_scale_add(1, 1.0);
    if (loss_scale_at(1) == f32(params.growth)) {
      loss_scale_put(0, loss_scale_at(0) * 2.0);
      loss_scale_put(1, 0.0);
    }
  } else {
    loss_scale_put(0, loss_scale_at(0) * 0.5);
    loss_scale_put(1, 0.0);
  }
}
