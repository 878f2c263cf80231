fn put4(at: Place, row: u32, column: u32, o: u32, part: u32, sum: vec4f) {
  let z = sizes();
  let i = target4(at, row, column, o);
  if (i != NONE) { parts[part * params.b * z.ho * z.wo * (z.co / 4u) + i] = sum; }
}
