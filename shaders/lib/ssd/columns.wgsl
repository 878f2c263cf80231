// The recurrence S = S⁻ + gain·push ⊗ key with S⁻ = decay·S', for the entries that sum over p: out = Sᵀ weight (n numbers a position)
// and two scalars. A workgroup walks the whole state of one head, T positions at a time. A thread has R rows of KV columns in
// registers: LANES threads share n, SPLIT groups of threads share p. {push, weight} are {x, dy} or {dy, x}.
#include "shared.wgsl"
const SPLIT = WG / LANES;
const PAD = SPLIT * R;
var<workgroup> push: array<f32, T * PAD>;
var<workgroup> weight: array<f32, T * PAD>;
var<workgroup> sums: array<V, T * WG>;
var<workgroup> to_query: array<f32, T * WG>;
var<workgroup> key_query: array<f32, T * LANES>;
var<workgroup> push_weight: array<f32, T * SPLIT>;
var<workgroup> part_to_query: array<f32, T * SPLIT>;

fn walk(tile: u32, lid: u32) {
  let p = params.headdim;
  let nv = params.d_state / WIDTH;
  let head = tile % params.h;
  let i = tile / params.h;
  let live = i < params.m;
  let group = head / (params.h / params.ngroups) * nv;
  let lane = lid % LANES;
  let part = lid / LANES;
  var S: array<V, R * KV>;

  for (var lap = 0u; lap < MOST; lap++) { let t0 = lap * T; if (!(t0 < params.l)) { break; }
    let len = min(T, params.l - t0);
    for (var lap = 0u; lap < MOST; lap++) { let o = lid + lap * WG; if (!(o < T * PAD)) { break; }
      let r = o % PAD;
      var xy = vec2f();
      if (live && r < p && o / PAD < len) {
        let row = i * params.l + position(t0 + o / PAD);
        xy = vec2f(xbc_scalar(row * params.c + head * p + r), dy_at(row * params.e + head * p + r));
      }
      push[o] = push_of(xy);
      weight[o] = weight_of(xy);
    }
    workgroupBarrier();
    var minus = array<V, T * KV>();
    for (var t = 0u; t < MOST; t++) { if (!(t < len)) { break; }
      for (var k = 0u; k < KV; k++) { minus[t * KV + k] = V(); }
      if (!live) { continue; }
      let my_t = position(t0 + t);
      let row = i * params.l + my_t;
      let decay = decay_at(row, my_t, head);
      let gain = gain_at(row, head);
      let query = query_at(row) + group + lane;
      let first = key_at(row) + group + lane;
      var key = array<V, KV>();
      for (var k = 0u; k < KV; k++) {
        key[k] = V();
        if (k * LANES + lane < nv) { key[k] = gain * xbc_at(first + k * LANES); }
      }
      var uw = 0.0;
      for (var r = 0u; r < R; r++) {
        let u = push[t * PAD + part * R + r];
        let w = weight[t * PAD + part * R + r];
        uw += u * w;
        for (var k = 0u; k < KV; k++) {
          let s = decay * S[r * KV + k];
          minus[t * KV + k] += w * s;
          S[r * KV + k] = s + u * key[k];
        }
      }
      var mq = V();
      var kq = V();
      for (var k = 0u; k < KV; k++) {
        if (k * LANES + lane < nv) {
          mq += minus[t * KV + k] * xbc_at(query + k * LANES);
          kq += key[k] * xbc_at(query + k * LANES);
        }
      }
      to_query[t * WG + lid] = total(mq);
      if (part == 0u) { key_query[t * LANES + lane] = total(kq); }
      if (lane == 0u) { push_weight[t * SPLIT + part] = uw; }
    }
    for (var k = 0u; k < KV; k++) {
      for (var t = 0u; t < MOST; t++) { if (!(t < len)) { break; } sums[t * WG + lid] = minus[t * KV + k]; }
      workgroupBarrier();
      if (k == 0u) {
        for (var lap = 0u; lap < MOST; lap++) { let o = lid + lap * WG; if (!(o < len * SPLIT)) { break; }
          var sum = 0.0;
          for (var q = 0u; q < LANES; q++) { sum += to_query[o * LANES + q]; }
          part_to_query[o] = sum;
        }
      }
      for (var lap = 0u; lap < MOST; lap++) { let o = lid + lap * WG; if (!(o < len * LANES)) { break; }
        let t = o / LANES;
        let q = k * LANES + o % LANES;
        if (live && q < nv) {
          let row = i * params.l + position(t0 + t);
          var sum = V();
          var uw = 0.0;
          for (var s = 0u; s < SPLIT; s++) {
            sum += sums[t * WG + s * LANES + o % LANES];
            uw += push_weight[t * SPLIT + s];
          }
          finish(row, (row * params.h + head) * nv + q, head, sum + uw * gain_at(row, head) * xbc_at(key_at(row) + group + q));
        }
      }
      workgroupBarrier();
    }
    if (live && lid < len) {
      var mq = 0.0;
      var uw = 0.0;
      var kq = 0.0;
      for (var s = 0u; s < SPLIT; s++) {
        mq += part_to_query[lid * SPLIT + s];
        uw += push_weight[lid * SPLIT + s];
      }
      for (var q = 0u; q < LANES; q++) { kq += key_query[lid * LANES + q]; }
      let at = ((i * params.l + position(t0 + lid)) * params.h + head) * 2u;
      finish_scalars(at, mq, uw, kq);
    }
    workgroupBarrier();
  }
}
