fn normalise(wg: vec3u, lid: u32) {
  gather(wg.y, lid);
  for (var column = lid % SPAN; column < COLUMNS; column += SPAN) {
    if (lid >= SPAN * ROWS) { break; }
    let m = moments_of(column);
    let scale = m.rstd * weight4(column);
    let shift = bias4(column);
    for (var p = wg.x * PIXELS + lid / SPAN; p < min(wg.x * PIXELS + PIXELS, params.s); p += ROWS) {
      let at = (wg.y * params.s + p) * COLUMNS + column;
      var v = (x4(at) - m.mean) * scale + shift;
      if (params.swish == 1u) { v = v / (1.0 + exp(-v)); }
      put(at, v);
    }
  }
}
