// ema += (1 - decay)·(param - ema). One thread takes VEC elements.
// @entry forward, WG threads
// @inout ema: f32 [n]
// @in param: f32 [n]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i < params.n / VEC) { ema_add(i, (1.0 - params.decay) * (param_at(i) - ema_at(i))); }
}
