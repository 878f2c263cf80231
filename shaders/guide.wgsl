// y = u + (c - u)·scale. c is the first b rows of logits and u is the last b rows. One thread takes VEC logits.
// @entry forward, WG threads
// @in logits: f32 [m, v]
// @out y: f32 [b, v]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  let n = params.b * params.v / VEC;
  if (i < n) {
    let u = logits_at(n + i);
    y_put(i, u + (logits_at(i) - u) * params.scale);
  }
}
