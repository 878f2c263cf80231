// g = grad·grad_scale;  m = beta1·m + (1 - beta1)·g;  v = beta2·v + (1 - beta2)·g²;
// param = param·(1 - lr·decay) - lr·(m / bias1) / (√(v / bias2) + eps). The indices into hyper are constants of
// src/ops/shared.ts.
// @entry forward, WG threads
// @inout param: f32 [n]
// @in grad: f32 [n]
// @inout m: f32 [n]
// @inout v: f32 [n]
// @in hyper: f32 [8]
// One thread updates VEC elements.
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i >= params.n / VEC || hyper_at(SKIP) != 0.0) { return; }
  let g = grad_at(i) * hyper_at(GRAD_SCALE);
  let mi = hyper_at(BETA1) * m_at(i) + (1.0 - hyper_at(BETA1)) * g;
  let vi = hyper_at(BETA2) * v_at(i) + (1.0 - hyper_at(BETA2)) * g * g;
  m_put(i, mi);
  v_put(i, vi);
  param_put(i, param_at(i) * (1.0 - hyper_at(LR) * params.decay) - hyper_at(LR) * (mi / hyper_at(BIAS1)) / (sqrt(vi / hyper_at(BIAS2)) + hyper_at(EPS)));
}
