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
  for (var y = top; y < bottom; y++) {
    for (var x = left; x < right; x++) {
      let v = x_at(((n * params.hi + y - params.pad) * params.wi + x - params.pad) * params.c + c);
      most = max(most, v);
      sum += v;
    }
  }
  let value = select(most, sum / f32((bottom - top) * (right - left)), params.mean == 1u);
  y_put(at * params.s + params.offset + c, value);
}
