// y = u + (c - u)·scale, c the first b rows of logits and u the last; VEC logits to a thread.
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
