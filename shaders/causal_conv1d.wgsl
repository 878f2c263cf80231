// y[t] = SiLU(bias + Σⱼ weight[j]·x[t-(K-1)+j]). Inputs before position 0 come from the state, or are zero without one.
// @entry forward, WG threads
// @in x: f32 | f16 [m, l, s]
// @in weight: f32 [c, 1, k]
// @in bias: f32 [c]
// @inout state?: f32 [m, c, q]
// @out y: f32 | f16 [m, l, c]
// One thread processes one channel at SPAN positions of a sequence, with the last K inputs in registers.
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let n = flat(wg, nwg) * WG + lid;
  let parts = (params.l + SPAN - 1u) / SPAN;
  if (n >= params.m * parts * params.c) { return; }
  let i = n / params.c / parts;
  let ch = n % params.c;
  let t0 = n / params.c % parts * SPAN;
  let past = (i * params.c + ch) * (K - 1u);
  let x0 = i * params.l * params.s + params.offset + ch;
  var taps: array<f32, K>;
  var window: array<f32, K>;
  for (var j = 0u; j < K; j++) { taps[j] = weight_at(ch * K + j); }
  for (var j = 0u; j < K - 1u; j++) {
    if (t0 + j + 1u >= K) { window[j + 1u] = x_at(x0 + (t0 + j + 1u - K) * params.s); }
    else if (params.has_state == 1u) { window[j + 1u] = state_at(past + t0 + j); }
  }
  let b = bias_at(ch);
  for (var lap = 0u; lap < MOST; lap++) { let t = t0 + lap; if (!(t < min(t0 + SPAN, params.l))) { break; }
    for (var j = 0u; j < K - 1u; j++) { window[j] = window[j + 1u]; }
    window[K - 1u] = x_at(x0 + t * params.s);
    var u = b;
    for (var j = 0u; j < K; j++) { u = fma(taps[j], window[j], u); }
    y_put((i * params.l + t) * params.c + ch, u / (1.0 + exp(-u)));
  }
  if (params.has_state == 1u) {
    for (var j = 0u; j < K - 1u; j++) { state_put(past + j, window[j + 1u]); }
  }
}

// @entry backward, WG threads
// @in x: f32 | f16 [m, l, s]
// @in weight: f32 [c, 1, k]
// @in bias: f32 [c]
// @in dy: f32 | f16 [m, l, c]
// @inout dx: f32 | f16 [m, l, s]
// @out dweight_rows: f32 [w, c, k]
// @out dbias_rows: f32 [w, c]
// One thread processes one channel of a part of a sequence, and K-1 more positions whose du contribute to dx of the part. The
// last K inputs and du are in registers.
#include "lib/silu_slope.wgsl"
fn backward(wg: vec3u, nwg: vec3u, lid: u32) {
  let n = flat(wg, nwg) * WG + lid;
  if (n >= params.w * params.c) { return; }
  let ch = n % params.c;
  let parts = params.w / params.m;
  let i = n / params.c / parts;
  let span = (params.l + parts - 1u) / parts;
  let t0 = n / params.c % parts * span;
  let t1 = min(t0 + span, params.l);
  let x0 = i * params.l * params.s + params.offset + ch;
  var taps: array<f32, K>;
  var window: array<f32, K>;
  var du: array<f32, K>;
  var sums: array<f32, K>;
  for (var j = 0u; j < K; j++) { taps[j] = weight_at(ch * K + j); }
  for (var j = 1u; j < K; j++) {
    if (t0 + j >= K) { window[j] = x_at(x0 + (t0 + j - K) * params.s); }
  }
  let b = bias_at(ch);
  var sum = 0.0;
  // A part may begin after the end of the sequence.
  let end = select(t0, t1 + K - 1u, t0 < t1);
  for (var lap = 0u; lap < MOST; lap++) { let t = t0 + lap; if (!(t < end)) { break; }
    for (var j = 1u; j < K; j++) {
      window[j - 1u] = window[j];
      du[j - 1u] = du[j];
    }
    du[K - 1u] = 0.0;
    if (t < params.l) {
      window[K - 1u] = x_at(x0 + t * params.s);
      var u = b;
      for (var j = 0u; j < K; j++) { u = fma(taps[j], window[j], u); }
      // forward: y = SiLU(u)  ⇒  du = dy·SiLU'(u)
      du[K - 1u] = dy_at((i * params.l + t) * params.c + ch) * silu_slope(u);
    }
    // forward: u[t] = bias + Σⱼ weight[j]·x[t-(K-1)+j]  ⇒  dbias += du[t], dweight[j] += du[t]·x[t-(K-1)+j]
    if (t < t1) {
      sum += du[K - 1u];
      for (var j = 0u; j < K; j++) { sums[j] += du[K - 1u] * window[j]; }
    }
    // ⇒  dx[t-(K-1)] = Σⱼ weight[j]·du[t-j]
    if (t + 1u >= t0 + K) {
      var d = 0.0;
      for (var j = 0u; j < K; j++) { d += taps[j] * du[K - 1u - j]; }
      dx_put(x0 + (t + 1u - K) * params.s, d);
    }
  }
  for (var j = 0u; j < K; j++) { dweight_rows_put(n * K + j, sums[j]); }
  dbias_rows_put(n, sum);
}
