// One element of in_proj's output [m, n] and, if the convolution reads it, its step: y = SiLU(bias + Σⱼ taps[j]·window[j]). The
// inputs of the step are loaded before the sum is complete, so that they arrive at the same time as the rows of w.
struct Step { taps: array<f32, TAPS>, window: array<f32, TAPS>, bias: f32 }

fn channel(j: u32) -> u32 { return select(params.c, j - params.offset, j >= params.offset && j < N); }

fn fetch(i: u32, j: u32) -> Step {
  var step: Step;
  let ch = channel(j);
  if (i >= params.m || ch >= params.c) { return step; }
  for (var q = 0u; q < TAPS; q++) { step.taps[q] = taps_at(ch * TAPS + q); }
  step.bias = conv_bias_at(ch);
  if (params.has_state == 1u) {
    for (var q = 0u; q < TAPS - 1u; q++) { step.window[q] = state_at((i * params.c + ch) * (TAPS - 1u) + q); }
  }
  return step;
}

fn put(i: u32, j: u32, sum: f32, fetched: Step) {
  if (i >= params.m || j >= N) { return; }
  proj_put(i * N + j, sum);
  let ch = channel(j);
  if (ch >= params.c) { return; }
  var step = fetched;
  step.window[TAPS - 1u] = sum;
  if (params.has_state == 1u) {
    for (var q = 0u; q < TAPS - 1u; q++) { state_put((i * params.c + ch) * (TAPS - 1u) + q, step.window[q + 1u]); }
  }
  var u = step.bias;
  for (var q = 0u; q < TAPS; q++) { u = fma(step.taps[q], step.window[q], u); }
  y_put(i * params.c + ch, u / (1.0 + exp(-u)));
}
