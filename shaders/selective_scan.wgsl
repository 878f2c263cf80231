// h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t x_t,  y_t = (C_t·h_t + D x_t)·SiLU(z_t),  Δ = softplus(dt), A = -exp(A_log).
// x, dt [m,l,e]; A_log [e,n]; bc [m,l,s] = [r | B: n | C: n]; D [e]; z [m,l,f] = [x | z: e]; state [m,e,n]; y [m,l,e].
#include "lib/softplus.wgsl"

// @entry forward
// A workgroup walks CH channels of one sequence, T positions at a time. Before and after the recurrence a thread is one
// (position, channel): it makes Δ and Δx, and finishes y. In it LANES threads share a channel, each with K states in registers.
const CH = WG / LANES;
var<workgroup> delta: array<f32, T * CH>;
var<workgroup> delta_x: array<f32, T * CH>;
var<workgroup> partial: array<f32, T * WG>;

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let tiles = (params.e + CH - 1u) / CH;
  let tile = flat(wg, nwg);
  let i = tile / tiles;
  let j0 = (tile % tiles) * CH;
  let live = i < params.m;

  let c = lid / LANES;
  let k0 = (lid % LANES) * K;
  let states = select(0u, min(K, params.n - min(k0, params.n)), live && j0 + c < params.e);
  let at = (i * params.e + j0 + c) * params.n + k0;
  var A: array<f32, K>;
  var h: array<f32, K>;
  for (var k = 0u; k < K; k++) {
    if (k < states) {
      A[k] = -exp(A_log[(j0 + c) * params.n + k0 + k]);
      if (params.has_state == 1u) { h[k] = state[at + k]; }
    }
  }

  let step = lid / CH;
  let j = j0 + lid % CH;
  for (var t0 = 0u; t0 < params.l; t0 += T) {
    let row = i * params.l + t0 + step;
    let mine = live && step < T && t0 + step < params.l && j < params.e;
    var xt = 0.0;
    if (mine) {
      xt = x[row * params.e + j];
      let d = softplus(dt[row * params.e + j]);
      delta[lid] = d;
      delta_x[lid] = d * xt;
    }
    workgroupBarrier();
    for (var t = 0u; t < min(T, params.l - t0); t++) {
      let b = (i * params.l + t0 + t + 1u) * params.s - 2u * params.n + k0;
      let d = delta[t * CH + c];
      let dx = delta_x[t * CH + c];
      var sum = 0.0;
      for (var k = 0u; k < K; k++) {
        if (k < states) {
          h[k] = exp(d * A[k]) * h[k] + dx * bc[b + k];
          sum += bc[b + params.n + k] * h[k];
        }
      }
      partial[t * WG + lid] = sum;
    }
    workgroupBarrier();
    if (mine) {
      var sum = D[j] * xt;
      for (var q = 0u; q < LANES; q++) { sum += partial[lid * LANES + q]; }
      let zt = z[row * params.f + params.f - params.e + j];
      y[row * params.e + j] = sum * zt / (1.0 + exp(-zt));
    }
  }
  if (params.has_state == 1u) {
    for (var k = 0u; k < K; k++) { if (k < states) { state[at + k] = h[k]; } }
  }
}
