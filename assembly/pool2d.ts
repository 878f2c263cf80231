// @train: drawing does not use it.
// y[b,oy,ox, offset + c] = the largest or the mean of x[b, oy·stride+ky-pad, ox·stride+kx-pad, c] over the window's pixels that are
// inside the image
import { begin } from './lib/split';

export function pool2d_forward(
  x: usize, y: usize, b: i32, hi: i32, wi: i32, c: i32, ho: i32, wo: i32, s: i32,
  size: i32, stride: i32, pad: i32, mean: i32, offset: i32, part: i32, parts: i32,
): void {
  const first = begin(b * ho * wo, 1, part, parts), last = begin(b * ho * wo, 1, part + 1, parts);
  const pixel = <usize>c << 2;
  for (let p = first; p < last; p++) {
    const ox = p % wo, oy = p / wo % ho, n = p / wo / ho;
    const top = max(oy * stride - pad, 0), left = max(ox * stride - pad, 0);
    const bottom = min(oy * stride - pad + size, hi), right = min(ox * stride - pad + size, wi);
    const to = y + ((<usize>p * <usize>s + <usize>offset) << 2);
    memory.copy(to, x + <usize>((n * hi + top) * wi + left) * pixel, pixel);
    for (let iy = top; iy < bottom; iy++) {
      for (let ix = left; ix < right; ix++) {
        if (iy == top && ix == left) continue;
        combine(to, x + <usize>((n * hi + iy) * wi + ix) * pixel, pixel, mean);
      }
    }
    if (mean) scale(to, pixel, <f32>((bottom - top) * (right - left)));
  }
}

/** to = max(to, from) or, with `mean`, to + from, element by element. */
function combine(to: usize, from: usize, bytes: usize, mean: i32): void {
  const end = to + bytes;
  if (mean) {
    for (; to + 16 <= end; to += 16, from += 16) v128.store(to, f32x4.add(v128.load(to), v128.load(from)));
    for (; to < end; to += 4, from += 4) store<f32>(to, load<f32>(to) + load<f32>(from));
  } else {
    for (; to + 16 <= end; to += 16, from += 16) v128.store(to, f32x4.max(v128.load(to), v128.load(from)));
    for (; to < end; to += 4, from += 4) store<f32>(to, max(load<f32>(to), load<f32>(from)));
  }
}

function scale(to: usize, bytes: usize, count: f32): void {
  const end = to + bytes;
  const by = f32x4.splat(count);
  for (; to + 16 <= end; to += 16) v128.store(to, f32x4.div(v128.load(to), by));
  for (; to < end; to += 4) store<f32>(to, load<f32>(to) / count);
}

// forward: y = the first largest x of a window  ⇒  dx of that pixel += dy
export function pool2d_backward(
  x: usize, dy: usize, dx: usize, b: i32, hi: i32, wi: i32, c: i32, ho: i32, wo: i32, size: i32, stride: i32, pad: i32,
): void {
  const pixel = <usize>c << 2;
  memory.fill(dx, 0, <usize>(b * hi * wi) * pixel);
  for (let p = 0; p < b * ho * wo; p++) {
    const ox = p % wo, oy = p / wo % ho, n = p / wo / ho;
    const top = max(oy * stride - pad, 0), left = max(ox * stride - pad, 0);
    const bottom = min(oy * stride - pad + size, hi), right = min(ox * stride - pad + size, wi);
    for (let j: usize = 0; j < pixel; j += 4) {
      let most = <usize>((n * hi + top) * wi + left) * pixel + j;
      for (let iy = top; iy < bottom; iy++) {
        for (let ix = left; ix < right; ix++) {
          const at = <usize>((n * hi + iy) * wi + ix) * pixel + j;
          if (load<f32>(x + at) > load<f32>(x + most)) most = at;
        }
      }
      store<f32>(dx + most, load<f32>(dx + most) + load<f32>(dy + <usize>p * pixel + j));
    }
  }
}
