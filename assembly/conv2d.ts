// y[b,oy,ox,o] = bias[o] + Σ w[o,ky,kx,c]·xv[b, oy·stride+ky-pad_y, ox·stride+kx-pad_x, c] (+ residual), as a matrix product.
// The windows of a block of output pixels are copied into rows of (ky, kx, c), which stay in the cache, and are multiplied with
// w. w is packed once for all blocks.
import { begin } from './lib/split';
import { gemmColumns, gemmPacked, gradientBegin, packAll, packAllTurned, packedBytes, weightGradient, weightGradientBytes } from './linear';

/** Bytes of the rows in a block, and the smallest number of rows. */
const COLUMNS: i32 = 65536;
const MIN_ROWS: i32 = 8;

/** Returns the number of rows of k numbers in a block. `blockBytes` gives their size in bytes. */
function blockRows(k: i32): i32 {
  return max(MIN_ROWS, COLUMNS / (k << 2));
}
function blockBytes(k: i32): usize {
  return (<usize>blockRows(k) * <usize>k) << 2;
}

export function conv2d_forward_scratch(
  _b: i32, _hi: i32, _wi: i32, ci: i32, co: i32, kh: i32, kw: i32, _ho: i32, _wo: i32,
  _stride: i32, _padY: i32, _padX: i32, _up: i32,
): usize {
  const k = kh * kw * ci;
  return packedBytes(k, co) + blockBytes(k);
}

export function conv2d_forward(
  x: usize, w: usize, bias: usize, residual: usize, y: usize,
  b: i32, hi: i32, wi: i32, ci: i32, co: i32, kh: i32, kw: i32, ho: i32, wo: i32,
  stride: i32, padY: i32, padX: i32, up: i32, scratch: usize, part: i32, parts: i32,
): void {
  const k = kh * kw * ci, m = b * ho * wo, rowY = <usize>co << 2;
  const columns = scratch + packedBytes(k, co);
  const block = blockRows(k);
  // Threads divide the pixels if there are more pixels than channels, else the channels.
  const byPixels = m > co;
  const first = byPixels ? begin(m, 4, part, parts) : 0, last = byPixels ? begin(m, 4, part + 1, parts) : m;
  const o0 = byPixels ? 0 : begin(co, 16, part, parts), o1 = byPixels ? co : begin(co, 16, part + 1, parts);
  if (first == last || o0 == o1) return;
  packAll(w + ((<usize>o0 * <usize>k) << 2), k, o1 - o0, scratch);
  for (let i = first; i < last; i += block) {
    const rows = min(block, last - i), at = <usize>i * rowY;
    for (let r = 0; r < rows; r++) {
      const p = i + r;
      window(x, columns + ((<usize>r * <usize>k) << 2), p / (ho * wo), p / wo % ho, p % wo, hi, wi, ci, kh, kw, stride, padY, padX, up);
    }
    gemmColumns(columns, scratch, bias, residual ? residual + at : 0, y + at, rows, k, co, o0, o1);
  }
}

export function conv2d_backward_input_scratch(
  co: i32, kh: i32, kw: i32, ci: i32, _b: i32, _ho: i32, _wo: i32, _hi: i32, _wi: i32,
  _stride: i32, _padY: i32, _padX: i32, _up: i32,
): usize {
  const k = kh * kw * ci;
  return packedBytes(co, k) + blockBytes(k);
}

// forward: columns[i,k] = window(x, i), y = columns·wᵀ  ⇒  dcolumns = dy·w, and dx sums the elements of dcolumns that were
// copied from it. Threads divide the rows of dx. Output rows whose windows reach into two parts are multiplied in both.
export function conv2d_backward_input(
  w: usize, dy: usize, dx: usize,
  co: i32, kh: i32, kw: i32, ci: i32, b: i32, ho: i32, wo: i32, hi: i32, wi: i32,
  stride: i32, padY: i32, padX: i32, up: i32, scratch: usize, part: i32, parts: i32,
): void {
  const k = kh * kw * ci, rowY = <usize>co << 2, rowX = <usize>(wi * ci) << 2;
  const columns = scratch + packedBytes(co, k);
  const block = blockRows(k);
  const first = begin(b * hi, 1, part, parts), last = begin(b * hi, 1, part + 1, parts);
  if (first == last) return;
  packAllTurned(w, co, k, scratch);
  memory.fill(dx + <usize>first * rowX, 0, <usize>(last - first) * rowX);
  for (let n = first / hi; n * hi < last; n++) {
    const top = max(first - n * hi, 0), bottom = min(last - n * hi, hi);
    // These are the output rows oy that have a tap ky with top·up ≤ oy·stride + ky - padY < bottom·up.
    const oy0 = min((max(top * up + padY - kh + 1, 0) + stride - 1) / stride, ho), oy1 = min((bottom * up + padY - 1) / stride + 1, ho);
    const end = (n * ho + oy1) * wo;
    for (let i = (n * ho + oy0) * wo; i < end; i += block) {
      const rows = min(block, end - i);
      gemmPacked(dy + <usize>i * rowY, scratch, 0, 0, columns, rows, co, k);
      for (let r = 0; r < rows; r++) {
        const p = i + r;
        giveBack(dx, columns + ((<usize>r * <usize>k) << 2), n, p / wo % ho, p % wo, top, bottom, hi, wi, ci, kh, kw, stride, padY, padX, up);
      }
    }
  }
}

export function conv2d_backward_weight_scratch(
  _b: i32, _hi: i32, _wi: i32, ci: i32, _ho: i32, _wo: i32, co: i32, _p: i32, kh: i32, kw: i32,
  _stride: i32, _padY: i32, _padX: i32, _up: i32,
): usize {
  return weightGradientBytes(co) + blockBytes(kh * kw * ci);
}

// forward: y = columns·wᵀ + bias  ⇒  dw += dyᵀ·columns, dbias += Σ dy
export function conv2d_backward_weight(
  x: usize, dy: usize, dw: usize, dbias: usize,
  b: i32, hi: i32, wi: i32, ci: i32, ho: i32, wo: i32, co: i32, p: i32, kh: i32, kw: i32,
  stride: i32, padY: i32, padX: i32, up: i32, scratch: usize, part: i32, parts: i32,
): void {
  const k = kh * kw * ci, m = b * ho * wo, chunk = (m + p - 1) / p;
  const columns = scratch + weightGradientBytes(co);
  const block = blockRows(k);
  const first = gradientBegin(k, co, part, parts), last = gradientBegin(k, co, part + 1, parts);
  if (first == last) return;
  for (let start = 0; start < m; start += chunk) {
    const end = min(start + chunk, m);
    for (let i = start; i < end; i += block) {
      const rows = min(block, end - i);
      for (let r = 0; r < rows; r++) {
        const at = i + r;
        window(x, columns + ((<usize>r * <usize>k) << 2), at / (ho * wo), at / wo % ho, at % wo, hi, wi, ci, kh, kw, stride, padY, padX, up);
      }
      weightGradient(columns, dy + ((<usize>i * <usize>co) << 2), dw, dbias, rows, k, co, first, last, scratch);
    }
    dw += (<usize>co * <usize>k) << 2;
    if (dbias) dbias += <usize>co << 2;
  }
}

/** Copies the window of output pixel (n, oy, ox), which has kh·kw·ci numbers. */
function window(
  x: usize, out: usize, n: i32, oy: i32, ox: i32,
  hi: i32, wi: i32, ci: i32, kh: i32, kw: i32, stride: i32, padY: i32, padX: i32, up: i32,
): void {
  const bytes = <usize>ci << 2;
  for (let ky = 0; ky < kh; ky++) {
    const vy = oy * stride + ky - padY;
    for (let kx = 0; kx < kw; kx++) {
      const vx = ox * stride + kx - padX;
      const inside = vy >= 0 && vx >= 0 && vy < hi * up && vx < wi * up;
      let from = inside ? x + <usize>((n * hi + vy / up) * wi + vx / up) * bytes : 0;
      const end = out + bytes;
      if (from) {
        for (; out + 16 <= end; out += 16, from += 16) v128.store(out, v128.load(from));
        for (; out < end; out += 4, from += 4) store<f32>(out, load<f32>(from));
      } else {
        for (; out + 16 <= end; out += 16) v128.store(out, f32x4.splat(0));
        for (; out < end; out += 4) store<f32>(out, 0);
      }
    }
  }
}

/** The adjoint of `window`: adds a window's values to the pixels that `window` reads, in rows `top` to `bottom` of the image. */
function giveBack(
  dx: usize, from: usize, n: i32, oy: i32, ox: i32, top: i32, bottom: i32,
  hi: i32, wi: i32, ci: i32, kh: i32, kw: i32, stride: i32, padY: i32, padX: i32, up: i32,
): void {
  const bytes = <usize>ci << 2;
  for (let ky = 0; ky < kh; ky++) {
    const vy = oy * stride + ky - padY;
    for (let kx = 0; kx < kw; kx++) {
      const vx = ox * stride + kx - padX;
      const end = from + bytes;
      if (vy >= top * up && vx >= 0 && vy < bottom * up && vx < wi * up) {
        let to = dx + <usize>((n * hi + vy / up) * wi + vx / up) * bytes;
        for (; from + 16 <= end; from += 16, to += 16) v128.store(to, f32x4.add(v128.load(to), v128.load(from)));
        for (; from < end; from += 4, to += 4) store<f32>(to, load<f32>(to) + load<f32>(from));
      }
      from = end;
    }
  }
}
