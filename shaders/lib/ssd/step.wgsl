// One position, n in whole vectors: a team of 32 threads in a subgroup takes R rows of a head's state, K vectors of each to a
// thread, and adds up C·H among itself; nothing waits at a barrier.
#include "shared.wgsl"
const NV = R;
var<private> acc: array<f32, R>;

fn take_step(team: u32, lane: u32, lid: u32) {
  let row0 = team * R;
  let p = params.headdim;
  let nv = params.d_state / 4u;
  // Threads past the last row repeat it, and write nothing.
  let live = row0 < params.m * params.h * p;
  let at = min(row0, params.m * params.h * p - R);
  let i = at / (params.h * p);
  let head = at / p % params.h;
  let group = head / (params.h / params.ngroups) * nv;
  let key = B_at(i) + group;
  let query = C_at(i) + group;
  var H: array<vec4f, R * K>;
  var b: array<vec4f, K>;
  var c: array<vec4f, K>;
  for (var k = 0u; k < K; k++) {
    let q = min(k * 32u + lane, nv - 1u);
    for (var r = 0u; r < R; r++) { H[r * K + k] = state_at((at + r) * nv + q); }
    b[k] = xbc_at(key + q);
    c[k] = xbc_at(query + q);
  }
  var xs: array<f32, R>;
  for (var r = 0u; r < R; r++) { xs[r] = xbc_scalar(i * params.c + head * p + at % p + r); }
  let skip = D_at(head);
  let dt = dt_at(i, head);
  let decay = exp(-exp(A_log_at(head)) * dt);
  for (var r = 0u; r < R; r++) {
    for (var k = 0u; k < K; k++) {
      let q = k * 32u + lane;
      if (q < nv) {
        let u = decay * H[r * K + k] + (dt * xs[r]) * b[k];
        if (live) { state_put((at + r) * nv + q, u); }
        acc[r] += total(u * c[k]);
      }
    }
  }
  team_sums(lane, lid);
  let r = lane / (32u / R);
  if (live && lane % (32u / R) == 0u) {
    var x = xs[0];
    for (var q = 1u; q < R; q++) { if (q == r) { x = xs[q]; } }
    y_put(i * params.e + head * p + at % p + r, acc[0] + skip * x);
  }
}
