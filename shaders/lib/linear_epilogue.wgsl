fn epilogue(sum: f32, i: u32, j: u32) -> f32 {
  var value = sum;
  if (params.has_bias == 1u) { value += bias_at(j); }
  if (params.has_residual == 1u) { value += residual_at(i * params.n + j); }
  return value;
}

fn put(i: u32, j: u32, sum: f32) {
  if (i < params.m && j < params.n) { y_put(i * params.n + j, epilogue(sum, i, j)); }
}
