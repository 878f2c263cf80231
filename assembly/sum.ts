// @train
// Computes y = scale·Σ x in 16 running sums.
import { hsum } from './lib/math';

export function sum_forward(x: usize, y: usize, n: i32, scale: f32): void {
  const end = x + ((<usize>n) << 2);
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
  for (; x + 64 <= end; x += 64) {
    a0 = f32x4.add(a0, v128.load(x));
    a1 = f32x4.add(a1, v128.load(x, 16));
    a2 = f32x4.add(a2, v128.load(x, 32));
    a3 = f32x4.add(a3, v128.load(x, 48));
  }
  let all = hsum(f32x4.add(f32x4.add(a0, a1), f32x4.add(a2, a3)));
  for (; x < end; x += 4) all += load<f32>(x);
  store<f32>(y, all * scale);
}
