// The recurrence H = decay·H' + push ⊗ key, out = gain·(H query) + skip, for the entries that sum over n: forward, and backward
// through dH. A workgroup walks ROWS rows of the state of one head, T positions at a time. LANES threads share a row, each with K
// elements in registers; neighbouring threads have neighbouring elements, so that loads of the state coalesce. Before and after
// the recurrence a thread computes one (position, row).
#include "shared.wgsl"
struct Source { push: f32, gain: f32, skip: f32 }
const ROWS = WG / LANES;
var<workgroup> decay: array<f32, T>;
var<workgroup> push: array<f32, T * ROWS>;
var<workgroup> partial: array<f32, T * WG>;

fn walk(tile: u32, thread: u32) {
  let lid = thread % WG;
  let p = params.headdim;
  let nv = params.d_state / WIDTH;
  let tiles = (p + ROWS - 1u) / ROWS;
  let head = (tile / tiles) % params.h;
  let i = tile / tiles / params.h;
  let r0 = (tile % tiles) * ROWS;
  let live = i < params.m;
  let group = head / (params.h / params.ngroups) * nv;

  let lane = lid % LANES;
  let r = r0 + lid / LANES;
  // Threads without a row or elements keep zeros.
  let nk = select(0u, nv, live && r < p);
  let at = ((i * params.h + head) * p + r) * nv;
  var H: array<V, K>;
  for (var k = 0u; k < K; k++) { if (k * LANES + lane < nk) { H[k] = first_H(at + k * LANES + lane); } }

  let my_r = r0 + lid % ROWS;
  for (var lap = 0u; lap < MOST; lap++) { let t0 = lap * T; if (!(t0 < params.l)) { break; }
    let step = t0 + lid / ROWS;
    let mine = live && lid / ROWS < T && step < params.l;
    let my_t = position(min(step, params.l - 1u));
    let my_row = i * params.l + my_t;
    var source = Source();
    if (mine) {
      if (my_r < p) { source = source_at(my_row, head, my_r); }
      push[lid % (T * ROWS)] = source.push;
      if (lid % ROWS == 0u) { decay[lid / ROWS % T] = decay_at(my_row, my_t, head); }
    }
    workgroupBarrier();
    for (var t = 0u; t < T; t++) {
      if (t0 + t >= params.l) { break; }
      let row = i * params.l + position(t0 + t);
      let key = key_at(row) + group;
      let query = query_at(row) + group;
      let a = decay[t];
      let u = push[t * ROWS + lid / LANES];
      var sum = V();
      for (var k = 0u; k < K; k++) {
        let q = k * LANES + lane;
        if (q < nk) {
          H[k] = a * H[k] + u * xbc_at(key + q);
          sum += H[k] * xbc_at(query + q);
        }
      }
      partial[t * WG + lid] = total(sum);
    }
    workgroupBarrier();
    if (mine && my_r < p) {
      var sum = 0.0;
      for (var q = 0u; q < LANES; q++) { sum += partial[lid % (T * ROWS) * LANES + q]; }
      finish(my_row, head * p + my_r, source.gain * sum + source.skip);
    }
  }
  for (var k = 0u; k < K; k++) { if (k * LANES + lane < nk) { last_H(at + k * LANES + lane, H[k]); } }
}
