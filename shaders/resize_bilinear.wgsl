// y[b,oy,ox,c] = (x at row oy·hi/ho and column ox·wi/wo, interpolated linearly − shift)·scale
// @entry forward, WG threads
// @in x: f32 [b, hi, wi, c]
// @out y: f32 [b, ho, wo, c]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i >= params.b * params.ho * params.wo * params.c) { return; }
  let c = i % params.c;
  let at = i / params.c;
  let n = at / params.wo / params.ho;
  // Positions are fractions with the denominators ho and wo.
  let row = at / params.wo % params.ho * params.hi;
  let column = at % params.wo * params.wi;
  let top = row / params.ho;
  let left = column / params.wo;
  let bottom = min(top + 1u, params.hi - 1u);
  let right = min(left + 1u, params.wi - 1u);
  let down = f32(row % params.ho) / f32(params.ho);
  let across = f32(column % params.wo) / f32(params.wo);
  let upper = mix(value(n, top, left, c), value(n, top, right, c), across);
  let lower = mix(value(n, bottom, left, c), value(n, bottom, right, c), across);
  y_put(i, (mix(upper, lower, down) - params.shift) * params.scale);
}

fn value(n: u32, y: u32, x: u32, c: u32) -> f32 { return x_at(((n * params.hi + y) * params.wi + x) * params.c + c); }
