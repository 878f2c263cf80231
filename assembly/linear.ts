// y[m,n] = Σₖ x[m,k]·w[n,k] (+ bias[n]) (+ residual[m,n]).
// Both operands run along k, so rows are multiplied as vectors without packing. A 5×2 tile keeps ten accumulators, two
// rows of w, one of x and a product in V8's 15 vector registers. Every tile sums in the same order, so a row's result
// does not depend on how many rows there are.
import { hsum } from './lib/math';

/** Bytes of x kept in the first-level cache while w streams past. */
const X_BLOCK: usize = 24 * 1024;

export function linear_forward(
  x: usize, w: usize, bias: usize, residual: usize, y: usize,
  m: i32, k: i32, n: i32,
): void {
  gemm(x, w, bias, residual, y, m, k, n, n);
}

// y has rows of `ys` elements. Also the inner product of conv2d.
export function gemm(
  x: usize, w: usize, bias: usize, residual: usize, y: usize,
  m: i32, k: i32, n: i32, ys: i32,
): void {
  const row = (<usize>k) << 2;
  let block = <i32>max<usize>(X_BLOCK / max<usize>(row, 4), 5);
  block -= block % 5;
  for (let i0 = 0; i0 < m; i0 += block) {
    const i1 = min(i0 + block, m);
    let j = 0;
    for (; j + 2 <= n; j += 2) {
      const wj = w + <usize>j * row;
      let i = i0;
      for (; i + 5 <= i1; i += 5) tile5x2(x + <usize>i * row, wj, bias, residual, y, k, i, j, ys);
      for (; i < i1; i++) tile1x2(x + <usize>i * row, wj, bias, residual, y, k, i, j, ys);
    }
    if (j < n) for (let i = i0; i < i1; i++) tile1x1(x + <usize>i * row, w + <usize>j * row, bias, residual, y, k, i, j, ys);
  }
}

// @ts-ignore: decorator
@inline function put(bias: usize, residual: usize, y: usize, i: i32, j: i32, ys: i32, sum: f32): void {
  const at = (<usize>i * <usize>ys + <usize>j) << 2;
  if (bias) sum += load<f32>(bias + (<usize>j << 2));
  if (residual) sum += load<f32>(residual + at);
  store<f32>(y + at, sum);
}

// @ts-ignore: decorator
@inline function tail(x: usize, w: usize, k: i32, from: i32, sum: f32): f32 {
  for (let q = from; q < k; q++) sum += load<f32>(x + (<usize>q << 2)) * load<f32>(w + (<usize>q << 2));
  return sum;
}

function tile1x1(x: usize, w: usize, bias: usize, residual: usize, y: usize, k: i32, i: i32, j: i32, ys: i32): void {
  let a = f32x4.splat(0);
  const kv = k & ~3;
  for (let q: usize = 0, end = (<usize>kv) << 2; q < end; q += 16) a = f32x4.add(a, f32x4.mul(v128.load(x + q), v128.load(w + q)));
  put(bias, residual, y, i, j, ys, tail(x, w, k, kv, hsum(a)));
}

function tile1x2(x: usize, w: usize, bias: usize, residual: usize, y: usize, k: i32, i: i32, j: i32, ys: i32): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0);
  const kv = k & ~3;
  const v = w + ((<usize>k) << 2);
  for (let q: usize = 0, end = (<usize>kv) << 2; q < end; q += 16) {
    const xv = v128.load(x + q);
    a0 = f32x4.add(a0, f32x4.mul(xv, v128.load(w + q)));
    a1 = f32x4.add(a1, f32x4.mul(xv, v128.load(v + q)));
  }
  put(bias, residual, y, i, j, ys, tail(x, w, k, kv, hsum(a0)));
  put(bias, residual, y, i, j + 1, ys, tail(x, v, k, kv, hsum(a1)));
}

function tile5x2(x0: usize, w0: usize, bias: usize, residual: usize, y: usize, k: i32, i: i32, j: i32, ys: i32): void {
  const row = (<usize>k) << 2;
  const x1 = x0 + row, x2 = x1 + row, x3 = x2 + row, x4 = x3 + row, w1 = w0 + row;
  let a00 = f32x4.splat(0), a01 = a00, a10 = a00, a11 = a00, a20 = a00, a21 = a00, a30 = a00, a31 = a00, a40 = a00, a41 = a00;
  const kv = k & ~3;
  const end = (<usize>kv) << 2;
  for (let q: usize = 0; q < end; q += 16) {
    const u = v128.load(w0 + q), v = v128.load(w1 + q);
    let xv = v128.load(x0 + q);
    a00 = f32x4.add(a00, f32x4.mul(xv, u));
    a01 = f32x4.add(a01, f32x4.mul(xv, v));
    xv = v128.load(x1 + q);
    a10 = f32x4.add(a10, f32x4.mul(xv, u));
    a11 = f32x4.add(a11, f32x4.mul(xv, v));
    xv = v128.load(x2 + q);
    a20 = f32x4.add(a20, f32x4.mul(xv, u));
    a21 = f32x4.add(a21, f32x4.mul(xv, v));
    xv = v128.load(x3 + q);
    a30 = f32x4.add(a30, f32x4.mul(xv, u));
    a31 = f32x4.add(a31, f32x4.mul(xv, v));
    xv = v128.load(x4 + q);
    a40 = f32x4.add(a40, f32x4.mul(xv, u));
    a41 = f32x4.add(a41, f32x4.mul(xv, v));
  }
  put(bias, residual, y, i, j, ys, tail(x0, w0, k, kv, hsum(a00)));
  put(bias, residual, y, i, j + 1, ys, tail(x0, w1, k, kv, hsum(a01)));
  put(bias, residual, y, i + 1, j, ys, tail(x1, w0, k, kv, hsum(a10)));
  put(bias, residual, y, i + 1, j + 1, ys, tail(x1, w1, k, kv, hsum(a11)));
  put(bias, residual, y, i + 2, j, ys, tail(x2, w0, k, kv, hsum(a20)));
  put(bias, residual, y, i + 2, j + 1, ys, tail(x2, w1, k, kv, hsum(a21)));
  put(bias, residual, y, i + 3, j, ys, tail(x3, w0, k, kv, hsum(a30)));
  put(bias, residual, y, i + 3, j + 1, ys, tail(x3, w1, k, kv, hsum(a31)));
  put(bias, residual, y, i + 4, j, ys, tail(x4, w0, k, kv, hsum(a40)));
  put(bias, residual, y, i + 4, j + 1, ys, tail(x4, w1, k, kv, hsum(a41)));
}
