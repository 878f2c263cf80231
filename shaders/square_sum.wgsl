// sums[slot + q] = Σ x² over the q-th CHUNK elements of x. A workgroup computes one sum.
#include "lib/workgroup_sum.wgsl"

// @entry forward, 256 threads
// @in x: f32 [n]
// @inout sums: f32 [k]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let chunk = flat(wg, nwg);
  let first = chunk * CHUNK;
  let end = min(first + CHUNK, params.n) / VEC;
  var own = 0.0;
  // Without vectors, a number is in all four lanes and counts four times. Multiplying by a quarter is exact.
  for (var lap = 0u; lap < MOST; lap++) { let i = (first / VEC + lid) + lap * 256u; if (!(i < end)) { break; } own += dot(vec4f(x_at(i)), vec4f(x_at(i))) * (f32(VEC) / 4.0); }
  let all = workgroup_sum(own, lid);
  if (lid == 0u && first < params.n) { sums_put(params.slot + chunk, all); }
}
