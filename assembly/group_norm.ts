// y = (x - mean)/√(var + eps)·weight + bias over each group of channels. If swish is set, SiLU is applied to the result.
// Sums are made for each channel, with four channels in a vector. They are f32 within a block of pixels and f64 across blocks.
// Threads divide the groups of all images. Inside the functions, `from` and `to` are the byte range of a part's channels in a
// row.
import { silu1, silu4, siluGradient1, siluGradient4 } from './lib/math';
import { begin } from './lib/split';

/** Pixels in a block. */
const BLOCK: i32 = 32;

/** Bytes for two f32 values and one f64 sum for each channel. */
export function group_norm_forward_scratch(_b: i32, _s: i32, c: i32, _groups: i32, _eps: f32, _swish: i32): usize {
  return 16 * <usize>c;
}

export function group_norm_forward(
  x: usize, weight: usize, bias: usize, y: usize,
  b: i32, s: i32, c: i32, groups: i32, eps: f32, swish: i32, scratch: usize, part: i32, parts: i32,
): void {
  const row = <usize>c << 2, width = <usize>(c / groups) << 2;
  const mean = scratch + 2 * row, scale = mean + row;
  const first = begin(b * groups, 1, part, parts), last = begin(b * groups, 1, part + 1, parts);
  for (let n = first / groups; n * groups < last; n++) {
    const from = <usize>max(first - n * groups, 0) * width, to = <usize>min(last - n * groups, groups) * width;
    const at = <usize>n * <usize>s * row;
    moments(x + at, s, row, from, to, width, eps, scratch, mean, scale);
    for (let j = from; j < to; j += 4) store<f32>(scale + j, load<f32>(scale + j) * load<f32>(weight + j));
    let xp = x + at, yp = y + at;
    for (let p = 0; p < s; p++) {
      let j = from;
      for (; j + 16 <= to; j += 16) {
        const d = f32x4.sub(v128.load(xp + j), v128.load(mean + j));
        const v = f32x4.add(f32x4.mul(d, v128.load(scale + j)), v128.load(bias + j));
        v128.store(yp + j, swish ? silu4(v) : v);
      }
      for (; j < to; j += 4) {
        const v = (load<f32>(xp + j) - load<f32>(mean + j)) * load<f32>(scale + j) + load<f32>(bias + j);
        store<f32>(yp + j, swish ? silu1(v) : v);
      }
      xp += row;
      yp += row;
    }
  }
}

/** Bytes for six f32 values and two f64 sums for each channel. */
export function group_norm_backward_scratch(_b: i32, _s: i32, c: i32, _groups: i32, _eps: f32, _swish: i32): usize {
  return 40 * <usize>c;
}

// forward: unit = (x - mean)·rstd, v = unit·weight + bias, y = v or SiLU(v)
// ⇒  dv = dy or dy·SiLU'(v), dweight += Σ dv·unit, dbias += Σ dv,
//    dunit = dv·weight, dx = rstd·(dunit - mean(dunit) - unit·mean(dunit·unit))
export function group_norm_backward(
  x: usize, weight: usize, bias: usize, dy: usize, dx: usize, dweight: usize, dbias: usize,
  b: i32, s: i32, c: i32, groups: i32, eps: f32, swish: i32, scratch: usize, part: i32, parts: i32,
): void {
  const row = <usize>c << 2, size = <usize>s * row, width = <usize>(c / groups) << 2;
  // Scratch holds, for each channel, Σ dv·unit and Σ dv in f64, then in f32 the group's mean and rstd, mean(dunit·unit) and
  // mean(dunit).
  const sumW = scratch, sumB = sumW + 2 * row;
  const mean = sumB + 2 * row, rstd = mean + row, second = rstd + row, mid = second + row;
  const dv = mid + row, unit = dv + row;
  const count = <f64>s * (c / groups);
  const first = begin(b * groups, 1, part, parts), last = begin(b * groups, 1, part + 1, parts);
  for (let n = first / groups; n * groups < last; n++) {
    const from = <usize>max(first - n * groups, 0) * width, to = <usize>min(last - n * groups, groups) * width;
    const xn = x + <usize>n * size, dyn = dy + <usize>n * size, dxn = dx + <usize>n * size;
    const dweightN = dweight + <usize>n * row, dbiasN = dbias + <usize>n * row;
    moments(xn, s, row, from, to, width, eps, scratch, mean, rstd);
    memory.fill(sumW, 0, 4 * row);
    for (let p: usize = 0; p < size; p += row) {
      gradientRow(xn + p, weight, bias, dyn + p, from, to, mean, rstd, swish, unit, dv);
      for (let j = from; j < to; j += 4) {
        const d = <f64>load<f32>(dv + j);
        store<f64>(sumW + 2 * j, load<f64>(sumW + 2 * j) + d * load<f32>(unit + j));
        store<f64>(sumB + 2 * j, load<f64>(sumB + 2 * j) + d);
      }
    }
    for (let g = from; g < to; g += width) {
      let ofW: f64 = 0, ofB: f64 = 0;
      for (let j = g, end = g + width; j < end; j += 4) {
        const dw = load<f64>(sumW + 2 * j), db = load<f64>(sumB + 2 * j);
        ofW += dw * load<f32>(weight + j);
        ofB += db * load<f32>(weight + j);
        store<f32>(dweightN + j, load<f32>(dweightN + j) + <f32>dw);
        store<f32>(dbiasN + j, load<f32>(dbiasN + j) + <f32>db);
      }
      for (let j = g, end = g + width; j < end; j += 4) {
        store<f32>(second + j, <f32>(ofW / count));
        store<f32>(mid + j, <f32>(ofB / count));
      }
    }
    for (let p: usize = 0; p < size; p += row) {
      gradientRow(xn + p, weight, bias, dyn + p, from, to, mean, rstd, swish, unit, dv);
      let j = from;
      for (; j + 16 <= to; j += 16) {
        const d = f32x4.sub(f32x4.mul(v128.load(dv + j), v128.load(weight + j)), v128.load(mid + j));
        const u = f32x4.mul(v128.load(unit + j), v128.load(second + j));
        v128.store(dxn + p + j, f32x4.mul(v128.load(rstd + j), f32x4.sub(d, u)));
      }
      for (; j < to; j += 4) {
        const d = load<f32>(dv + j) * load<f32>(weight + j) - load<f32>(mid + j);
        store<f32>(dxn + p + j, load<f32>(rstd + j) * (d - load<f32>(unit + j) * load<f32>(second + j)));
      }
    }
  }
}

/** Computes unit and dv for the channels of one pixel. */
// @ts-ignore: decorator
@inline function gradientRow(
  x: usize, weight: usize, bias: usize, dy: usize, from: usize, to: usize, mean: usize, rstd: usize, swish: i32, unit: usize, dv: usize,
): void {
  let j = from;
  for (; j + 16 <= to; j += 16) {
    const u = f32x4.mul(f32x4.sub(v128.load(x + j), v128.load(mean + j)), v128.load(rstd + j));
    const d = v128.load(dy + j);
    v128.store(unit + j, u);
    v128.store(dv + j, swish ? siluGradient4(f32x4.add(f32x4.mul(u, v128.load(weight + j)), v128.load(bias + j)), d) : d);
  }
  for (; j < to; j += 4) {
    const u = (load<f32>(x + j) - load<f32>(mean + j)) * load<f32>(rstd + j), d = load<f32>(dy + j);
    store<f32>(unit + j, u);
    store<f32>(dv + j, swish ? siluGradient1(u * load<f32>(weight + j) + load<f32>(bias + j), d) : d);
  }
}

/** Stores the mean and 1/√(var + eps) of its group for each channel from `from` to `to`. A row has `width` bytes. */
function moments(
  x: usize, s: i32, row: usize, from: usize, to: usize, width: usize, eps: f32, sums: usize, mean: usize, rstd: usize,
): void {
  const count = <f64>s * <f64>(width >> 2);
  memory.fill(mean, 0, row);
  for (let pass = 0; pass < 2; pass++) {
    sumChannels(x, s, row, from, to, mean, pass == 1, sums);
    for (let g = from; g < to; g += width) {
      let sum: f64 = 0;
      for (let j = g; j < g + width; j += 4) sum += load<f64>(sums + 2 * j);
      const value = <f32>(pass == 0 ? sum / count : 1 / sqrt<f64>(sum / count + eps));
      for (let j = g; j < g + width; j += 4) store<f32>((pass == 0 ? mean : rstd) + j, value);
    }
  }
}

/** Sums x or (x - mean)² for each channel, in f64. */
function sumChannels(x: usize, s: i32, row: usize, from: usize, to: usize, mean: usize, squares: bool, sums: usize): void {
  memory.fill(sums, 0, 2 * row);
  for (let p = 0; p < s; p += BLOCK) {
    const start = x + <usize>p * row, end = start + <usize>min(BLOCK, s - p) * row;
    let j = from;
    for (; j + 16 <= to; j += 16) {
      const m = v128.load(mean + j);
      let a = f32x4.splat(0);
      for (let q = start + j; q < end; q += row) {
        const v = f32x4.sub(v128.load(q), m);
        a = f32x4.add(a, squares ? f32x4.mul(v, v) : v);
      }
      const at = sums + 2 * j;
      v128.store(at, f64x2.add(v128.load(at), f64x2.promote_low_f32x4(a)));
      const upper = f64x2.promote_low_f32x4(i8x16.shuffle(a, a, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
      v128.store(at + 16, f64x2.add(v128.load(at + 16), upper));
    }
    for (; j < to; j += 4) {
      const m = load<f32>(mean + j);
      let a: f32 = 0;
      for (let q = start + j; q < end; q += row) {
        const v = load<f32>(q) - m;
        a += squares ? v * v : v;
      }
      store<f64>(sums + 2 * j, load<f64>(sums + 2 * j) + a);
    }
  }
}
