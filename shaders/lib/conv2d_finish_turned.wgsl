fn put4(at: Place, row: u32, column: u32, o: u32, part: u32, sum: vec4f) {
  let i = target4(at, row, column, o);
  if (i != NONE) { dx[i] = sum / gradient_scale(); }
}
