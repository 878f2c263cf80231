// @train
// parts[q] = Σ |x - truth| over the q-th CHUNK elements, in 4 running sums. Backward: dx = scale·sign(x - truth).
import { MSE_CHUNK as CHUNK } from '../src/ops/shared';
import { hsum } from './lib/math';

export function mae_forward(x: usize, truth: usize, parts: usize, n: i32, p: i32): void {
  for (let from = 0; from < n; from += CHUNK, parts += 4) {
    const end = x + ((<usize>min(CHUNK, n - from)) << 2);
    let a = f32x4.splat(0);
    for (; x + 16 <= end; x += 16, truth += 16) a = f32x4.add(a, f32x4.abs(f32x4.sub(v128.load(x), v128.load(truth))));
    let all = hsum(a);
    for (; x < end; x += 4, truth += 4) all += abs<f32>(load<f32>(x) - load<f32>(truth));
    store<f32>(parts, all);
  }
}

export function mae_backward(x: usize, truth: usize, loss_scale: usize, dx: usize, n: i32, scale: f32): void {
  if (loss_scale) scale *= load<f32>(loss_scale);
  const end = (<usize>n) << 2;
  // forward: loss = scale·Σ |x - truth|  ⇒  dx = scale·sign(x - truth)
  for (let q: usize = 0; q < end; q += 4) {
    const d = load<f32>(x + q) - load<f32>(truth + q);
    store<f32>(dx + q, d > 0 ? scale : d < 0 ? -scale : 0 * d);
  }
}
