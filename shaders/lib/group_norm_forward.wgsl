fn normalise(wg: vec3u, lid: u32) {
  gather(wg.y, lid);
  for (var lap = 0u; lap < MOST; lap++) {
    let column = (lid % SPAN) + lap * SPAN;
    if (!(column < COLUMNS)) { break; }
    if (lid >= SPAN * ROWS) { break; }
    let m = moments_of(column);
    let scale = m.rstd * weight4(column);
    let shift = bias4(column);
    for (var lap = 0u; lap < MOST; lap++) {
      let p = (wg.x * PIXELS + lid / SPAN) + lap * ROWS;
      if (!(p < min(wg.x * PIXELS + PIXELS, params.s))) { break; }
      let at = (wg.y * params.s + p) * COLUMNS + column;
      var v = (x4(at) - m.mean) * scale + shift;
      if (params.swish == 1u) { v = v / (1.0 + exp(-v)); }
      put(at, v);
    }
  }
}
