// The scan of selective_scan's entries `forward` and `backward_states`. They define the initial h (first_h), when and where h is
// stored (keeps, keep), and what is done with C·h (finish). A workgroup processes CH channels of one sequence, T positions at a
// time. Before and after the recurrence, a thread takes one position of one channel: it computes Δ and Δx, and finishes C·h.
// During the recurrence LANES threads share a channel, each with K states in registers.
const CH = WG / LANES;
var<workgroup> delta: array<f32, T * CH>;
var<workgroup> delta_x: array<f32, T * CH>;
var<workgroup> partial: array<f32, T * WG>;

fn walk(tile: u32, thread: u32) {
  let lid = thread % WG;
  let tiles = (params.e + CH - 1u) / CH;
  let i = tile / tiles;
  let j0 = (tile % tiles) * CH;
  let live = i < params.m;

  let c = lid / LANES;
  let k0 = (lid % LANES) * K;
  let own = select(0u, min(K, params.n - min(k0, params.n)), live && j0 + c < params.e);
  let jk = (j0 + c) * params.n + k0;
  var A: array<f32, K>;
  var h: array<f32, K>;
  for (var k = 0u; k < K; k++) {
    if (k < own) {
      A[k] = -exp(A_log_at(jk + k));
      h[k] = first_h(i * params.e * params.n + jk + k);
    }
  }

  let step = lid / CH;
  let j = j0 + lid % CH;
  for (var lap = 0u; lap < MOST; lap++) { let t0 = lap * T; if (!(t0 < params.l)) { break; }
    if (keeps(t0)) { for (var k = 0u; k < K; k++) { if (k < own) { keep(i, t0, jk + k, h[k]); } } }
    let row = i * params.l + t0 + step;
    let mine = live && step < T && t0 + step < params.l && j < params.e;
    var xt = 0.0;
    if (mine) {
      xt = x_at(row * params.e + j);
      let d = softplus(dt_at(row * params.e + j));
      delta[lid % (T * CH)] = d;
      delta_x[lid % (T * CH)] = d * xt;
    }
    workgroupBarrier();
    for (var t = 0u; t < T; t++) {
      if (t0 + t >= params.l) { break; }
      let b = (i * params.l + t0 + t + 1u) * params.s - 2u * params.n + k0;
      let d = delta[t * CH + c];
      let dx = delta_x[t * CH + c];
      var sum = 0.0;
      for (var k = 0u; k < K; k++) {
        if (k < own) {
          h[k] = exp(d * A[k]) * h[k] + dx * bc_at(b + k);
          sum += bc_at(b + params.n + k) * h[k];
        }
      }
      partial[t * WG + lid] = sum;
    }
    workgroupBarrier();
    if (mine) {
      var sum = 0.0;
      for (var q = 0u; q < LANES; q++) { sum += partial[lid % (T * CH) * LANES + q]; }
      finish(row, j, xt, sum);
    }
  }
  if (keeps(params.l)) { for (var k = 0u; k < K; k++) { if (k < own) { keep(i, params.l, jk + k, h[k]); } } }
}
