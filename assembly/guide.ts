// y = u + (c - u)·w. c is the first b rows of logits and u is the last b rows.
import { guideScale } from './lib/guide_scale';

export function guide_forward(
  logits: usize, scales: usize, step: usize, y: usize,
  m: i32, v: i32, t: i32, b: i32, scale: f32,
): void {
  const half = (<usize>b * <usize>v) << 2;
  // With one scale for all, the images are one long row.
  const rows = scales ? b : 1;
  const bytes = half / <usize>rows;
  for (let i = 0; i < rows; i++, logits += bytes, y += bytes) {
    const w1 = guideScale(i, scales, step, t, scale);
    const w = f32x4.splat(w1);
    const un = logits + half;
    let q: usize = 0;
    for (; q + 16 <= bytes; q += 16) {
      const u = v128.load(un + q);
      v128.store(y + q, f32x4.add(u, f32x4.mul(f32x4.sub(v128.load(logits + q), u), w)));
    }
    for (; q < bytes; q += 4) {
      const u = load<f32>(un + q);
      store<f32>(y + q, u + (load<f32>(logits + q) - u) * w1);
    }
  }
}
