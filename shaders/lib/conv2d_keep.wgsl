fn put4(at: Place, row: u32, column: u32, o: u32, part: u32, sum: vec4f) {
  let oy = at.oy + row;
  let ox = at.ox + column;
  if (oy >= params.ho || ox >= params.wo || o >= params.co / 4u) { return; }
  parts[(((part * params.b + at.n) * params.ho + oy) * params.wo + ox) * (params.co / 4u) + o] = sum;
}
