// y = x·σ(x)
import { sigmoid4, silu1, silu4, siluSlope4 } from './lib/math';

export function silu_forward(x: usize, y: usize, m: i32, n: i32): void {
  const end = (<usize>m * <usize>n) << 2;
  let q: usize = 0;
  for (; q + 16 <= end; q += 16) v128.store(y + q, silu4(v128.load(x + q)));
  for (; q < end; q += 4) store<f32>(y + q, silu1(load<f32>(x + q)));
}

// forward: y = x·σ(x)  ⇒  dx = dy·σ(x)·(1 + x·(1 - σ(x)))
export function silu_backward(x: usize, dy: usize, dx: usize, m: i32, n: i32): void {
  const end = (<usize>m * <usize>n) << 2;
  let q: usize = 0;
  for (; q + 16 <= end; q += 16) v128.store(dx + q, back(v128.load(x + q), v128.load(dy + q)));
  for (; q < end; q += 4) store<f32>(dx + q, f32x4.extract_lane(back(v128.load32_splat(x + q), v128.load32_splat(dy + q)), 0));
}

// @ts-ignore: decorator
@inline function back(x: v128, dy: v128): v128 {
  return f32x4.mul(dy, siluSlope4(x, sigmoid4(x)));
}
