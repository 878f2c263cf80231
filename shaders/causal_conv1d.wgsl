// y[t] = SiLU(bias + Σⱼ weight[j]·x[t-(K-1)+j]), inputs before position 0 from the state or zero.
// @entry forward
// A thread per sequence and channel walks the sequence with its last K inputs in registers.
@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let n = flat(wg, nwg) * WG + lid;
  if (n >= params.m * params.c) { return; }
  let i = n / params.c;
  let ch = n % params.c;
  var taps: array<f32, K>;
  var window: array<f32, K>;
  for (var j = 0u; j < K; j++) { taps[j] = weight[ch * K + j]; }
  if (params.has_state == 1u) {
    for (var j = 1u; j < K; j++) { window[j] = state[n * (K - 1u) + j - 1u]; }
  }
  let b = bias[ch];
  for (var t = 0u; t < params.l; t++) {
    for (var j = 1u; j < K; j++) { window[j - 1u] = window[j]; }
    window[K - 1u] = x[(i * params.l + t) * params.s + params.offset + ch];
    var u = b;
    for (var j = 0u; j < K; j++) { u += taps[j] * window[j]; }
    y[(i * params.l + t) * params.c + ch] = u / (1.0 + exp(-u));
  }
  if (params.has_state == 1u) {
    for (var j = 1u; j < K; j++) { state[n * (K - 1u) + j - 1u] = window[j]; }
  }
}
