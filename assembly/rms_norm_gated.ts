// v = x·SiLU(z);  y = v / √(mean(v²) + eps) · weight, the mean over e/groups channels.
import { hsum, silu1, silu4 } from './lib/math';

export function rms_norm_gated_forward(
  x: usize, z: usize, weight: usize, y: usize,
  m: i32, l: i32, e: i32, s: i32, groups: i32, z_offset: i32, eps: f32,
): void {
  const width = e / groups;
  const bytes = (<usize>width) << 2;
  const zRow = (<usize>s) << 2;
  z += (<usize>z_offset) << 2;
  for (let row = 0, rows = m * l; row < rows; row++, z += zRow) {
    for (let g = 0; g < groups; g++, x += bytes, y += bytes) {
      const zg = z + <usize>g * bytes;
      const wg = weight + <usize>g * bytes;
      // y holds v until it is scaled.
      let a = f32x4.splat(0);
      let q: usize = 0;
      for (; q + 16 <= bytes; q += 16) {
        const v = f32x4.mul(v128.load(x + q), silu4(v128.load(zg + q)));
        v128.store(y + q, v);
        a = f32x4.add(a, f32x4.mul(v, v));
      }
      let squares = hsum(a);
      for (; q < bytes; q += 4) {
        const v = load<f32>(x + q) * silu1(load<f32>(zg + q));
        store<f32>(y + q, v);
        squares += v * v;
      }
      const r: f32 = 1 / sqrt<f32>(squares / <f32>width + eps);
      const rv = f32x4.splat(r);
      for (q = 0; q + 16 <= bytes; q += 16) v128.store(y + q, f32x4.mul(f32x4.mul(v128.load(y + q), rv), v128.load(wg + q)));
      for (; q < bytes; q += 4) store<f32>(y + q, load<f32>(y + q) * r * load<f32>(wg + q));
    }
  }
}
