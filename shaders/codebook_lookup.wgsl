// y[r] = e/max(‖e‖, 1e-12) with e = codebook[codes[r]].
// @entry forward, 256 threads
// @in codebook: f32 [v, d]
// @in codes: u32 [r]
// @out y: f32 [r, d]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * 256u + lid;
  if (i >= params.r * params.d) { return; }
  let e = min(codes_at(i / params.d), params.v - 1u) * params.d;
  var square = 0.0;
  for (var j = 0u; j < MOST; j++) { if (!(j < params.d)) { break; } square += codebook_at(e + j) * codebook_at(e + j); }
  y_put(i, codebook_at(e + i % params.d) / max(sqrt(square), 1e-12));
}
