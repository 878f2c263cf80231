// ema += (1 - min(decay, most[0]))·(param - ema). One thread takes VEC elements.
// @entry forward, WG threads
// @inout ema: f32 [n]
// @in param: f32 [n]
// @in most?: f32 [1]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i >= params.n / VEC) { return; }
  var decay = params.decay;
  if (params.has_most == 1u) { decay = min(decay, most_at(0)); }
  ema_add(i, (1.0 - decay) * (param_at(i) - ema_at(i)));
}
