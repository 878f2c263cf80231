// @train
// sums[slot + q] = Σ x² over the q-th CHUNK elements of x, in 16 running sums.
import { SQUARE_SUM_CHUNK as CHUNK } from '../src/ops/shared';
import { hsum } from './lib/math';

export function square_sum_forward(x: usize, sums: usize, n: i32, k: i32, slot: i32): void {
  sums += (<usize>slot) << 2;
  for (let from = 0; from < n; from += CHUNK, sums += 4) {
    const end = x + ((<usize>min(CHUNK, n - from)) << 2);
    let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
    for (; x + 64 <= end; x += 64) {
      const v0 = v128.load(x), v1 = v128.load(x, 16), v2 = v128.load(x, 32), v3 = v128.load(x, 48);
      a0 = f32x4.add(a0, f32x4.mul(v0, v0));
      a1 = f32x4.add(a1, f32x4.mul(v1, v1));
      a2 = f32x4.add(a2, f32x4.mul(v2, v2));
      a3 = f32x4.add(a3, f32x4.mul(v3, v3));
    }
    let all = hsum(f32x4.add(f32x4.add(a0, a1), f32x4.add(a2, a3)));
    for (; x < end; x += 4) all += load<f32>(x) * load<f32>(x);
    store<f32>(sums, all);
  }
}
