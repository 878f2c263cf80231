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
#repeat k K
  let q$k = $k * 32u + lane;
  let b$k = xbc_at(key + min(q$k, nv - 1u));
  let c$k = xbc_at(query + min(q$k, nv - 1u));
#repeat r R
  let H$r_$k = state_at((at + $r) * nv + min(q$k, nv - 1u));
#end
#end
#repeat r R
  let x$r = xbc_scalar(i * params.c + head * p + at % p + $r);
#end
  let skip = D_at(head);
  let dt = dt_at(i, head);
  let decay = exp(-exp(A_log_at(head)) * dt);
#repeat r R
#repeat k K
  if (q$k < nv) {
    let u = decay * H$r_$k + (dt * x$r) * b$k;
    if (live) { state_put((at + $r) * nv + q$k, u); }
    acc[$r] += total(u * c$k);
  }
#end
#end
  team_sums(lane, lid);
  let r = lane / (32u / R);
  if (live && lane % (32u / R) == 0u) {
    var x = x0;
#repeat q R
    if ($q == r) { x = x$q; }
#end
    y_put(i * params.e + head * p + at % p + r, acc[0] + skip * x);
  }
}
