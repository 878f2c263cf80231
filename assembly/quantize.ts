// codes[r] = argminᵥ ‖ẑ[r] - ê[v]‖², the lowest v of equals, where ^ divides a row by its length.
// The codebook is normalised and turned once, so that a vector holds one element of four codes.
import { rowLength } from './lib/math';

export function quantize_forward(
  z: usize, codebook: usize, codes: usize, distance: usize, r: i32, d: i32, v: i32, scratch: usize,
): void {
  const row = <usize>d << 2;
  const end = scratch + <usize>((v + 3) & ~3) * row;
  pack(codebook, v, d, scratch);
  for (let i = 0; i < r; i++) {
    unit(z + <usize>i * row, d, end, 4);
    let best = f32x4.splat(f32.MAX_VALUE), code = i32x4.splat(0), here = i32x4(0, 1, 2, 3);
    for (let p = scratch; p < end;) {
      let sum = f32x4.splat(0);
      for (let q = end, stop = end + row; q < stop; q += 4) {
        const x = f32x4.sub(v128.load32_splat(q), v128.load(p));
        sum = f32x4.add(sum, f32x4.mul(x, x));
        p += 16;
      }
      const nearer = f32x4.lt(sum, best);
      best = v128.bitselect(sum, best, nearer);
      code = v128.bitselect(here, code, nearer);
      here = i32x4.add(here, i32x4.splat(4));
    }
    let least = f32x4.extract_lane(best, 0), which = i32x4.extract_lane(code, 0);
    for (let n = 1; n < 4; n++) {
      best = i8x16.shuffle(best, best, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
      code = i8x16.shuffle(code, code, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
      const l = f32x4.extract_lane(best, 0), w = i32x4.extract_lane(code, 0);
      if (l < least || (l == least && w < which)) {
        least = l;
        which = w;
      }
    }
    store<i32>(codes + (<usize>i << 2), which);
    if (distance) store<f32>(distance + (<usize>i << 2), least);
  }
}

/** Rows of unit length, four codes a vector; the places past the last code are too far to be chosen. */
function pack(codebook: usize, v: i32, d: i32, out: usize): void {
  const row = <usize>d << 2;
  for (let i = 0, all = (v + 3) & ~3; i < all; i++) {
    const to = out + <usize>(i & ~3) * row + (<usize>(i & 3) << 2);
    if (i < v) unit(codebook + <usize>i * row, d, to, 16);
    else for (let j = 0; j < d; j++) store<f32>(to + (<usize>j << 4), 1e15);
  }
}

/** out = x/max(‖x‖, 1e-12), elements `step` bytes apart. */
function unit(x: usize, d: i32, out: usize, step: usize): void {
  const scale: f32 = 1 / max<f32>(rowLength(x, d), 1e-12);
  for (let j = 0; j < d; j++) store<f32>(out + <usize>j * step, load<f32>(x + (<usize>j << 2)) * scale);
}
