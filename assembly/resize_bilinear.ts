// @train: drawing does not use it.
// y[b,oy,ox,c] = (x at row oy·hi/ho and column ox·wi/wo, interpolated linearly − shift)·scale
import { begin } from './lib/split';

export function resize_bilinear_forward(
  x: usize, y: usize, b: i32, hi: i32, wi: i32, c: i32, ho: i32, wo: i32, shift: f32, scale: f32, part: i32, parts: i32,
): void {
  const first = begin(b * ho, 1, part, parts), last = begin(b * ho, 1, part + 1, parts);
  const pixel = <usize>c << 2;
  for (let r = first; r < last; r++) {
    const n = r / ho, row = r % ho * hi;
    const top = row / ho, bottom = min(top + 1, hi - 1);
    const down = <f32>(row % ho) / <f32>ho;
    const upper = x + <usize>(n * hi + top) * <usize>wi * pixel, lower = x + <usize>(n * hi + bottom) * <usize>wi * pixel;
    let to = y + <usize>r * <usize>wo * pixel;
    for (let ox = 0; ox < wo; ox++) {
      const column = ox * wi, left = column / wo;
      const across = <f32>(column % wo) / <f32>wo;
      const l = <usize>left * pixel, r = <usize>min(left + 1, wi - 1) * pixel;
      for (let q: usize = 0; q < pixel; q += 4, to += 4) {
        const a = mix(load<f32>(upper + l + q), load<f32>(upper + r + q), across);
        const b = mix(load<f32>(lower + l + q), load<f32>(lower + r + q), across);
        store<f32>(to, (mix(a, b, down) - shift) * scale);
      }
    }
  }
}

// @ts-ignore: decorator
@inline function mix(a: f32, b: f32, t: f32): f32 {
  return a + (b - a) * t;
}
