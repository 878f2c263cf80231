// y[b,oy,ox, offset + c] = the largest or the mean of x[b, oy·stride+ky-pad, ox·stride+kx-pad, c] over the window's pixels that are
// inside the image
// @entry forward, WG threads
// @in x: f32 [b, hi, wi, c]
// @inout y: f32 [b, ho, wo, s]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i >= params.b * params.ho * params.wo * params.c) { return; }
  let c = i % params.c;
  let at = i / params.c;
  let ox = at % params.wo;
  let oy = at / params.wo % params.ho;
  let n = at / params.wo / params.ho;
  // Rows and columns of the window that are inside, in the padded image.
  let top = max(oy * params.stride, params.pad);
  let left = max(ox * params.stride, params.pad);
  let bottom = min(oy * params.stride + params.size, params.hi + params.pad);
  let right = min(ox * params.stride + params.size, params.wi + params.pad);
  var most = x_at(((n * params.hi + top - params.pad) * params.wi + left - params.pad) * params.c + c);
  var sum = 0.0;
  for (var lap = 0u; lap < MOST; lap++) { let y = top + lap; if (!(y < bottom)) { break; }
    for (var lap = 0u; lap < MOST; lap++) { let x = left + lap; if (!(x < right)) { break; }
      let v = x_at(((n * params.hi + y - params.pad) * params.wi + x - params.pad) * params.c + c);
      most = max(most, v);
      sum += v;
    }
  }
  let value = select(most, sum / f32((bottom - top) * (right - left)), params.mean == 1u);
  y_put(at * params.s + params.offset + c, value);
}

// @entry backward, WG threads
// @in x: f32 [b, hi, wi, c]
// @in dy: f32 [b, ho, wo, c]
// @out dx: f32 [b, hi, wi, c]
// forward: y = the first largest x of a window  ⇒  dx of that pixel += dy
// A thread looks at every window of its pixel and asks if the pixel is the one that the window took.
fn backward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i >= params.b * params.hi * params.wi * params.c) { return; }
  let c = i % params.c;
  let at = i / params.c;
  let n = at / params.wi / params.hi;
  // Rows and columns are those of the padded image.
  let py = at / params.wi % params.hi + params.pad;
  let px = at % params.wi + params.pad;
  let own = x_at(i);
  // The first window that reaches (py, px), and the end of those that begin at or before it.
  let oy0 = (max(py + 1u, params.size) - params.size + params.stride - 1u) / params.stride;
  let ox0 = (max(px + 1u, params.size) - params.size + params.stride - 1u) / params.stride;
  var sum = 0.0;
  for (var lap = 0u; lap < MOST; lap++) {
    let oy = oy0 + lap;
    if (!(oy < min(py / params.stride + 1u, params.ho))) { break; }
    for (var lap = 0u; lap < MOST; lap++) {
      let ox = ox0 + lap;
      if (!(ox < min(px / params.stride + 1u, params.wo))) { break; }
      var taken = true;
      for (var lap = 0u; lap < MOST; lap++) {
        let y = (max(oy * params.stride, params.pad)) + lap;
        if (!(y < min(oy * params.stride + params.size, params.hi + params.pad))) { break; }
        for (var lap = 0u; lap < MOST; lap++) {
          let x = (max(ox * params.stride, params.pad)) + lap;
          if (!(x < min(ox * params.stride + params.size, params.wi + params.pad))) { break; }
          let v = x_at(((n * params.hi + y - params.pad) * params.wi + x - params.pad) * params.c + c);
          let before = y < py || (y == py && x < px);
          if (v > own || (before && v == own)) { taken = false; }
        }
      }
      if (taken) { sum += dy_at(((n * params.ho + oy) * params.wo + ox) * params.c + c); }
    }
  }
  dx_put(i, sum);
}
