// The body of ssd's forward entries for state elements of type V, WIDTH numbers each. A workgroup walks ROWS rows of one
// head's state, T positions at a time. LANES threads share a row, each with K elements in registers, next to its
// neighbours' so that the state's traffic is coalesced. Before and after the recurrence a thread is one (position, row).
const ROWS = WG / LANES;
var<workgroup> decay: array<f32, T>;
var<workgroup> dt_x: array<f32, T * ROWS>;
var<workgroup> partial: array<f32, T * WG>;

fn scan(tile: u32, lid: u32) {
  let p = params.headdim;
  let nv = params.d_state / WIDTH;
  let tiles = (p + ROWS - 1u) / ROWS;
  let head = (tile / tiles) % params.h;
  let i = tile / tiles / params.h;
  let r0 = (tile % tiles) * ROWS;
  let live = i < params.m;
  let group = head / (params.h / params.ngroups);
  let A = -exp(A_log[head]);

  let lane = lid % LANES;
  let r = r0 + lid / LANES;
  // Threads without a row or elements keep zeros.
  let nk = select(0u, nv, live && r < p);
  let at = ((i * params.h + head) * p + r) * nv;
  var H: array<V, K>;
  if (params.has_state == 1u) {
    for (var k = 0u; k < K; k++) { if (k * LANES + lane < nk) { H[k] = state[at + k * LANES + lane]; } }
  }

  let step = lid / ROWS;
  let my_r = r0 + lid % ROWS;
  for (var t0 = 0u; t0 < params.l; t0 += T) {
    let row = i * params.l + t0 + step;
    let mine = live && step < T && t0 + step < params.l;
    var x = 0.0;
    if (mine) {
      let dt = softplus(zxbcdt[(row + 1u) * params.s - params.h + head] + dt_bias[head]);
      if (my_r < p) { x = x_at(row * params.c + head * p + my_r); }
      dt_x[lid] = dt * x;
      if (lid % ROWS == 0u) { decay[step] = exp(dt * A); }
    }
    workgroupBarrier();
    for (var t = 0u; t < min(T, params.l - t0); t++) {
      let B = ((i * params.l + t0 + t) * params.c + params.e) / WIDTH + group * nv;
      let C = B + params.ngroups * nv;
      let a = decay[t];
      let u = dt_x[t * ROWS + lid / LANES];
      var sum = V();
      for (var k = 0u; k < K; k++) {
        let q = k * LANES + lane;
        if (q < nk) {
          H[k] = a * H[k] + u * xbc[B + q];
          sum += H[k] * xbc[C + q];
        }
      }
      partial[t * WG + lid] = total(sum);
    }
    workgroupBarrier();
    if (mine && my_r < p) {
      var sum = D[head] * x;
      for (var q = 0u; q < LANES; q++) { sum += partial[lid * LANES + q]; }
      y[row * params.e + head * p + my_r] = sum;
    }
  }
  if (params.has_state == 1u) {
    for (var k = 0u; k < K; k++) { if (k * LANES + lane < nk) { state[at + k * LANES + lane] = H[k]; } }
  }
}
