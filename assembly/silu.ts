// y = x·σ(x)
import { silu1, silu4 } from './lib/math';

export function silu_forward(x: usize, y: usize, m: i32, n: i32): void {
  const end = (<usize>m * <usize>n) << 2;
  let q: usize = 0;
  for (; q + 16 <= end; q += 16) v128.store(y + q, silu4(v128.load(x + q)));
  for (; q < end; q += 4) store<f32>(y + q, silu1(load<f32>(x + q)));
}
