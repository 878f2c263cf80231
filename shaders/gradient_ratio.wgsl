// y = scale·min(most, A/(B + eps)) with the norms A = √Σa/s and B = √Σb/s, or scale if they are not finite
// @entry forward, 256 threads
// @in a: f32 [p]
// @in b: f32 [q]
// @in loss_scale?: f32 [2]
// @out y: f32 [1]
#include "lib/loss_scale.wgsl"
#include "lib/workgroup_sum.wgsl"
fn forward(lid: u32) {
  var own = 0.0;
  for (var lap = 0u; lap < MOST; lap++) { let i = lid + lap * 256u; if (!(i < params.p)) { break; } own += a_at(i); }
  let first = sqrt(workgroup_sum(own, lid)) / scale_of(1.0);
  own = 0.0;
  for (var lap = 0u; lap < MOST; lap++) { let i = lid + lap * 256u; if (!(i < params.q)) { break; } own += b_at(i); }
  let second = sqrt(workgroup_sum(own, lid)) / scale_of(1.0);
  // The bits are tested, since compilers may assume that floats are finite.
  let finite = (bitcast<u32>(first + second) & 0x7f800000u) != 0x7f800000u;
  if (lid == 0u) { y_put(0, params.scale * select(1.0, min(params.most, first / (second + params.eps)), finite)); }
}
