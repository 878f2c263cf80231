// g = grad·grad_scale;  m = beta1·m + (1 - beta1)·g;  v = beta2·v + (1 - beta2)·g²;
// param = param·(1 - lr·decay) - lr·(m / bias1) / (√(v / bias2) + eps);  hyper = [lr, beta1, beta2, eps, bias1, bias2, grad_scale, skip].
// @entry forward
// VEC elements to a thread.
@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = flat(wg, nwg) * WG + lid;
  if (i >= params.n / VEC || hyper[7] != 0.0) { return; }
  let g = grad[i] * hyper[6];
  let mi = hyper[1] * m[i] + (1.0 - hyper[1]) * g;
  let vi = hyper[2] * v[i] + (1.0 - hyper[2]) * g * g;
  m[i] = mi;
  v[i] = vi;
  param[i] = param[i] * (1.0 - hyper[0] * params.decay) - hyper[0] * (mi / hyper[4]) / (sqrt(vi / hyper[5]) + hyper[3]);
}
