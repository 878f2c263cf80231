// @train
// g = grad·grad_scale;  m = beta1·m + (1 - beta1)·g;  v = beta2·v + (1 - beta2)·g²;
// param = param·(1 - lr·decay) - lr·(m / bias1) / (√(v / bias2) + eps);  hyper = [lr, beta1, beta2, eps, bias1, bias2, grad_scale, skip].
import { BETA1, BETA2, BIAS1, BIAS2, EPS, GRAD_SCALE, LR, SKIP } from '../src/ops/shared';
import { begin } from './lib/split';

export function adamw_forward(param: usize, grad: usize, m: usize, v: usize, hyper: usize, n: i32, decay: f32, part: i32, parts: i32): void {
  if (load<f32>(hyper, SKIP << 2) != 0) return;
  const lr = load<f32>(hyper, LR << 2);
  const beta1 = load<f32>(hyper, BETA1 << 2), rest1: f32 = 1 - beta1;
  const beta2 = load<f32>(hyper, BETA2 << 2), rest2: f32 = 1 - beta2;
  const eps = load<f32>(hyper, EPS << 2);
  const rate: f32 = lr / load<f32>(hyper, BIAS1 << 2);
  const unbias: f32 = 1 / sqrt<f32>(load<f32>(hyper, BIAS2 << 2));
  const scale = load<f32>(hyper, GRAD_SCALE << 2);
  const keep: f32 = 1 - lr * decay;
  const end = (<usize>begin(n, 4, part + 1, parts)) << 2;
  let q = (<usize>begin(n, 4, part, parts)) << 2;
  for (; q + 16 <= end; q += 16) {
    const g = f32x4.mul(v128.load(grad + q), f32x4.splat(scale));
    const mi = f32x4.add(f32x4.mul(f32x4.splat(beta1), v128.load(m + q)), f32x4.mul(f32x4.splat(rest1), g));
    const vi = f32x4.add(f32x4.mul(f32x4.splat(beta2), v128.load(v + q)), f32x4.mul(f32x4.splat(rest2), f32x4.mul(g, g)));
    const root = f32x4.add(f32x4.mul(f32x4.sqrt(vi), f32x4.splat(unbias)), f32x4.splat(eps));
    const change = f32x4.div(f32x4.mul(f32x4.splat(rate), mi), root);
    v128.store(m + q, mi);
    v128.store(v + q, vi);
    v128.store(param + q, f32x4.sub(f32x4.mul(v128.load(param + q), f32x4.splat(keep)), change));
  }
  for (; q < end; q += 4) {
    const g = load<f32>(grad + q) * scale;
    const mi = beta1 * load<f32>(m + q) + rest1 * g;
    const vi = beta2 * load<f32>(v + q) + rest2 * (g * g);
    store<f32>(m + q, mi);
    store<f32>(v + q, vi);
    store<f32>(param + q, load<f32>(param + q) * keep - (rate * mi) / (sqrt<f32>(vi) * unbias + eps));
  }
}
