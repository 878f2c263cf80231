// @train
// parts[q] = Σ (x - truth)² over the q-th CHUNK elements, in 8 running sums. Backward: dx = 2·scale·(x - truth).
import { MSE_CHUNK as CHUNK } from '../src/ops/shared';
import { hsum } from './lib/math';

export function mse_forward(x: usize, truth: usize, parts: usize, n: i32, p: i32): void {
  for (let from = 0; from < n; from += CHUNK, parts += 4) {
    const end = x + ((<usize>min(CHUNK, n - from)) << 2);
    let a0 = f32x4.splat(0), a1 = a0;
    for (; x + 32 <= end; x += 32, truth += 32) {
      const d0 = f32x4.sub(v128.load(x), v128.load(truth));
      const d1 = f32x4.sub(v128.load(x, 16), v128.load(truth, 16));
      a0 = f32x4.add(a0, f32x4.mul(d0, d0));
      a1 = f32x4.add(a1, f32x4.mul(d1, d1));
    }
    let all = hsum(f32x4.add(a0, a1));
    for (; x < end; x += 4, truth += 4) {
      const d = load<f32>(x) - load<f32>(truth);
      all += d * d;
    }
    store<f32>(parts, all);
  }
}

export function mse_backward(x: usize, truth: usize, loss_scale: usize, dx: usize, n: i32, scale: f32): void {
  if (loss_scale) scale *= load<f32>(loss_scale);
  const end = (<usize>n) << 2;
  const twice: f32 = 2 * scale;
  const tv = f32x4.splat(twice);
  let q: usize = 0;
  // forward: loss = scale·Σ (x - truth)²  ⇒  dx = 2·scale·(x - truth)
  for (; q + 16 <= end; q += 16) v128.store(dx + q, f32x4.mul(tv, f32x4.sub(v128.load(x + q), v128.load(truth + q))));
  for (; q < end; q += 4) store<f32>(dx + q, twice * (load<f32>(x + q) - load<f32>(truth + q)));
}
