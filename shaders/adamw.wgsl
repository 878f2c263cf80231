// g = grad·grad_scale;  m = beta1·m + (1 - beta1)·g;  v = beta2·v + (1 - beta2)·g²;
// param = param·(1 - lr·decay) - lr·(m / bias1) / (√(v / bias2) + eps);  hyper = [lr, beta1, beta2, eps, bias1, bias2, grad_scale, skip].
// @entry forward, WG threads
// @inout param: f32 [n]
// @in grad: f32 [n]
// @inout m: f32 [n]
// @inout v: f32 [n]
// @in hyper: f32 [8]
// VEC elements to a thread.
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i >= params.n / VEC || hyper_at(7) != 0.0) { return; }
  let g = grad_at(i) * hyper_at(6);
  let mi = hyper_at(1) * m_at(i) + (1.0 - hyper_at(1)) * g;
  let vi = hyper_at(2) * v_at(i) + (1.0 - hyper_at(2)) * g * g;
  m_put(i, mi);
  v_put(i, vi);
  param_put(i, param_at(i) * (1.0 - hyper_at(0) * params.decay) - hyper_at(0) * (mi / hyper_at(4)) / (sqrt(vi / hyper_at(5)) + hyper_at(3)));
}
