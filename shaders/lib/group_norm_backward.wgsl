fn gradient(wg: vec3u, lid: u32) {
  gather(wg.y, lid);
  for (var lap = 0u; lap < MOST; lap++) {
    let column = (lid % SPAN) + lap * SPAN;
    if (!(column < COLUMNS)) { break; }
    if (lid >= SPAN * ROWS) { break; }
    let m = moments_of(column);
    let w = weight4(column);
    let shift = bias4(column);
    var first = vec4f();
    var second = vec4f();
    for (var q = 0u; q < LANES; q++) {
      let sum = sums_at(wg.y * GROUPS + (column * LANES + q) / (params.c / GROUPS));
      first[q] = sum.x;
      second[q] = sum.y;
    }
    for (var lap = 0u; lap < MOST; lap++) {
      let p = (wg.x * PIXELS + lid / SPAN) + lap * ROWS;
      if (!(p < min(wg.x * PIXELS + PIXELS, params.s))) { break; }
      let at = (wg.y * params.s + p) * COLUMNS + column;
      let unit = (x4(at) - m.mean) * m.rstd;
      put(at, m.rstd * (dv(at, unit * w + shift) * w - first - unit * second));
    }
  }
}
