fn put(i: u32, j: u32, sum: f32) {
  if (i >= params.b * params.ho * params.wo || j >= params.co) { return; }
  var value = sum + bias_at(j);
  let o = i * params.co + j;
  if (params.has_residual == 1u) { value += residual_at(o); }
  y_put(o, value);
}
