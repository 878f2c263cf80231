fn put(i: u32, j: u32, sum: f32) {
  if (i >= params.b * params.ho * params.wo || j >= params.co) { return; }
  var value = sum + bias[j];
  let o = i * params.co + j;
  if (params.has_residual == 1u) { value += residual[o]; }
  y[o] = value;
}
