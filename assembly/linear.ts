// y[m,n] = Σₖ x[m,k]·w[n,k] (+ bias[n]) (+ residual[m,n]).
// w is packed in panels of 16 columns. For each k, a 2×16 tile updates eight accumulators from four vectors of w and two numbers
// of x. This is as much as V8's 15 vector registers can hold, since V8 loads the operands of a block before it adds. Packing does
// not pay for a single row, so w is then transposed in registers. Every kernel sums in the same order: in order of k within
// blocks of K_BLOCK, then over the blocks. The result of a row therefore does not depend on the number of rows.
import { addTo } from './lib/math';
import { begin } from './lib/split';

/** Values of k in a block. A panel's block has 16 KiB, which stays in the first-level cache, and short sums are more precise. */
const K_BLOCK: i32 = 256;
/** Bytes of one block of a panel. */
const PANEL: usize = K_BLOCK * 16 * 4;

export function linear_forward_scratch(_m: i32, _k: i32, _n: i32): usize {
  return PANEL;
}

export function linear_forward(
  x: usize, w: usize, bias: usize, residual: usize, y: usize,
  m: i32, k: i32, n: i32, scratch: usize, part: i32, parts: i32,
): void {
  gemm(x, w, bias, residual, y, m, k, n, false, scratch, part, parts);
}

export function linear_backward_input_scratch(_n: i32, _k: i32, _m: i32): usize {
  return PANEL;
}

// forward: y[m,n] = Σₖ x[m,k]·w[n,k]  ⇒  dx[m,k] = Σₙ dy[m,n]·w[n,k]
export function linear_backward_input(
  w: usize, dy: usize, dx: usize,
  n: i32, k: i32, m: i32, scratch: usize, part: i32, parts: i32,
): void {
  gemm(dy, w, 0, 0, dx, m, n, k, true, scratch, part, parts);
}

export function linear_backward_weight_scratch(_m: i32, _k: i32, n: i32, _p: i32): usize {
  return weightGradientBytes(n);
}

// forward: y[m,n] = Σₖ x[m,k]·w[n,k] + bias[n]  ⇒  dw[n,k] += Σₘ dy[m,n]·x[m,k], dbias[n] += Σₘ dy[m,n]
export function linear_backward_weight(
  x: usize, dy: usize, dw: usize, dbias: usize,
  m: i32, k: i32, n: i32, p: i32, scratch: usize, part: i32, parts: i32,
): void {
  const chunk = (m + p - 1) / p;
  for (let i = 0; i < m; i += chunk) {
    const rows = min(chunk, m - i);
    weightGradient(
      x + ((<usize>i * <usize>k) << 2), dy + ((<usize>i * <usize>n) << 2), dw, dbias,
      rows, k, n, gradientBegin(k, n, part, parts), gradientBegin(k, n, part + 1, parts), scratch,
    );
    dw += (<usize>n * <usize>k) << 2;
    if (dbias) dbias += <usize>n << 2;
  }
}

/** Rows of dy that `weightGradient` transposes at once. */
const GRADIENT_ROWS: i32 = K_BLOCK;

/** Bytes of scratch memory that `weightGradient` needs. */
export function weightGradientBytes(n: i32): usize {
  return PANEL + ((<usize>GRADIENT_ROWS * <usize>n) << 2);
}

/** The column of dw at which a part of `weightGradient` begins. It is a row of dw if dw has fewer columns than rows. */
export function gradientBegin(k: i32, n: i32, part: i32, parts: i32): i32 {
  return k < n ? begin(n, 4, part, parts) : begin(k, 16, part, parts);
}

/**
 * Computes columns (or rows, see `gradientBegin`) `first` to `last` of dw[n,k] += Σₘ dy[m,n]·x[m,k] and dbias[n] += Σₘ dy[m,n].
 */
export function weightGradient(
  x: usize, dy: usize, dw: usize, dbias: usize, m: i32, k: i32, n: i32, first: i32, last: i32, scratch: usize,
): void {
  const byRows = k < n;
  const n0 = byRows ? first : 0, n1 = byRows ? last : n;
  const k0 = byRows ? 0 : first, k1 = byRows ? k : last;
  const rowY = <usize>n << 2, turned = scratch + PANEL;
  if (first == last) return;
  dy += <usize>n0 << 2;
  dw += (<usize>n0 * <usize>k) << 2;
  for (let i = 0; i < m; i += GRADIENT_ROWS) {
    const rows = min(GRADIENT_ROWS, m - i);
    pack(dy, n, n1 - n0, rows, GRADIENT_ROWS, turned);
    for (let j = k0; j < k1;) {
      const width = panelWidth(k - j);
      packTurned(x + (<usize>j << 2), k, rows, min(k - j, width), width, scratch);
      panel(turned, scratch, 0, 0, dw, n1 - n0, GRADIENT_ROWS, rows, k, j, false, false);
      j += width;
    }
    if (dbias && k0 == 0) {
      for (let r = 0; r < rows; r++) addTo(dbias + (<usize>n0 << 2), dy + <usize>r * rowY, <usize>(n1 - n0) << 2);
    }
    x += (<usize>rows * <usize>k) << 2;
    dy += <usize>rows * rowY;
  }
}

/** Multiplies a single row by columns j to `end` of w, eight at a time. Returns the first column that is not done. */
function rowProduct(x: usize, w: usize, bias: usize, residual: usize, y: usize, k: i32, j: i32, end: i32): i32 {
  for (; j + 8 <= end; j += 8) {
    const at = <usize>j << 2;
    for (let q = 0; q < k; q += K_BLOCK) {
      const kb = min(k - q, K_BLOCK);
      const b = q + kb == k && bias ? bias + at : 0, r = q + kb == k && residual ? residual + at : 0;
      row1x8(x + (<usize>q << 2), w + ((<usize>j * <usize>k + <usize>q) << 2), b, r, y + at, k, kb, q == 0);
    }
  }
  return j;
}

/**
 * Computes a part of y[m,n] = Σₖ x[m,k]·w[n,k], or of Σₖ x[m,k]·w[k,n] if `turned`. Threads divide the rows or the columns,
 * whichever are more.
 */
function gemm(
  x: usize, w: usize, bias: usize, residual: usize, y: usize,
  m: i32, k: i32, n: i32, turned: bool, scratch: usize, part: i32, parts: i32,
): void {
  let j = 0, end = n;
  if (m > n) {
    const i = begin(m, 4, part, parts), at = (<usize>i * <usize>n) << 2;
    x += (<usize>i * <usize>k) << 2;
    y += at;
    if (residual) residual += at;
    m = begin(m, 4, part + 1, parts) - i;
    if (m == 0) return;
  } else {
    j = begin(n, 16, part, parts);
    end = begin(n, 16, part + 1, parts);
    if (m == 1 && !turned) j = rowProduct(x, w, bias, residual, y, k, j, end);
  }
  while (j < end) {
    const width = panelWidth(n - j), cols = min(n - j, width);
    for (let q = 0; q < k; q += K_BLOCK) {
      const kb = min(k - q, K_BLOCK);
      if (turned) packTurned(w + ((<usize>q * <usize>n + <usize>j) << 2), n, kb, cols, width, scratch);
      else pack(w + ((<usize>j * <usize>k + <usize>q) << 2), k, kb, cols, width, scratch);
      panel(x + (<usize>q << 2), scratch, bias, residual, y, m, k, kb, n, j, q == 0, q + kb == k);
    }
    j += width;
  }
}

/** Columns of the next panel if `left` columns remain: 16, or 4 for the rest, filled with zeros. */
// @ts-ignore: decorator
@inline function panelWidth(left: i32): i32 {
  return left >= 16 ? 16 : 4;
}

/** Bytes of the panels that `packAll` writes. */
export function packedBytes(k: i32, n: i32): usize {
  return (<usize>k * <usize>((n + 3) & ~3)) << 2;
}

/** Packs all of w [n,k] for `gemmPacked`. It serves callers that multiply w with many blocks of rows. */
export function packAll(w: usize, k: i32, n: i32, out: usize): void {
  for (let j = 0; j < n;) {
    const width = panelWidth(n - j);
    pack(w + ((<usize>j * <usize>k) << 2), k, k, min(n - j, width), width, out);
    out += (<usize>k * <usize>width) << 2;
    j += width;
  }
}

/** Packs v [k,n] for products x·v. `gemmPacked` then computes Σₖ x[m,k]·v[k,n]. */
export function packAllTurned(v: usize, k: i32, n: i32, out: usize): void {
  for (let j = 0; j < n;) {
    const width = panelWidth(n - j);
    packTurned(v + (<usize>j << 2), n, k, min(n - j, width), width, out);
    out += (<usize>k * <usize>width) << 2;
    j += width;
  }
}

/** Like `gemm`, with w packed by `packAll` or `packAllTurned`. */
export function gemmPacked(
  x: usize, packed: usize, bias: usize, residual: usize, y: usize,
  m: i32, k: i32, n: i32,
): void {
  gemmColumns(x, packed, bias, residual, y, m, k, n, 0, n);
}

/** Like `gemmPacked`, for columns j to `end` only. `packed` begins with column j. */
export function gemmColumns(
  x: usize, packed: usize, bias: usize, residual: usize, y: usize,
  m: i32, k: i32, n: i32, j: i32, end: i32,
): void {
  while (j < end) {
    const width = panelWidth(n - j);
    for (let q = 0; q < k; q += K_BLOCK) {
      const kb = min(k - q, K_BLOCK);
      panel(x + (<usize>q << 2), packed, bias, residual, y, m, k, kb, n, j, q == 0, q + kb == k);
      packed += (<usize>kb * <usize>width) << 2;
    }
    j += width;
  }
}

/**
 * Transposes the first kb columns of `rows` rows of w (k apart) into out[kb, width]. Missing rows up to a multiple of 4 are zero.
 */
function pack(w: usize, k: i32, kb: i32, rows: i32, width: i32, out: usize): void {
  const row = <usize>k << 2, step = <usize>width << 2;
  for (let r = 0; r < rows; r += 4) {
    let a = w + <usize>r * row, o = out + (<usize>r << 2);
    let q = 0;
    if (r + 4 <= rows) {
      for (; q + 4 <= kb; q += 4) {
        const a0 = v128.load(a), a1 = v128.load(a + row), a2 = v128.load(a + 2 * row), a3 = v128.load(a + 3 * row);
        const b0 = low(a0, a1), b1 = high(a0, a1), b2 = low(a2, a3), b3 = high(a2, a3);
        v128.store(o, lowPair(b0, b2));
        v128.store(o + step, highPair(b0, b2));
        v128.store(o + 2 * step, lowPair(b1, b3));
        v128.store(o + 3 * step, highPair(b1, b3));
        a += 16;
        o += 4 * step;
      }
    }
    for (; q < kb; q++) {
      for (let c = 0; c < 4; c++) store<f32>(o + (<usize>c << 2), r + c < rows ? load<f32>(a + <usize>c * row) : 0);
      a += 4;
      o += step;
    }
  }
}

/** Copies the first `cols` columns of kb rows of v (n apart) into out[kb, width]. Missing columns are zero. */
function packTurned(v: usize, n: i32, kb: i32, cols: i32, width: i32, out: usize): void {
  const row = <usize>n << 2, step = <usize>width << 2, bytes = <usize>cols << 2;
  for (let q = 0; q < kb; q++) {
    let c: usize = 0;
    for (; c + 16 <= bytes; c += 16) v128.store(out + c, v128.load(v + c));
    for (; c < step; c += 4) store<f32>(out + c, c < bytes ? load<f32>(v + c) : 0);
    v += row;
    out += step;
  }
}

// These functions interleave lanes. A 4×4 transposition is made of them.
// @ts-ignore: decorator
@inline function low(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
}
// @ts-ignore: decorator
@inline function high(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
}
// @ts-ignore: decorator
@inline function lowPair(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
}
// @ts-ignore: decorator
@inline function highPair(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
}

/** Multiplies all rows of x [m, kb of k] by one block of a panel. Bias and residual are added with the last block. */
function panel(
  x: usize, p: usize, bias: usize, residual: usize, y: usize,
  m: i32, k: i32, kb: i32, n: i32, j: i32, first: bool, last: bool,
): void {
  const row = <usize>k << 2, rowY = <usize>n << 2, at = <usize>j << 2;
  const cols = n - j;
  const b = last && bias ? bias + at : 0;
  let r = last && residual ? residual + at : 0;
  y += at;
  let i = 0;
  if (cols >= 16) {
    for (; i + 2 <= m; i += 2) {
      tile2x16(x, p, b, r, y, row, kb, rowY, first);
      x += 2 * row;
      y += 2 * rowY;
      if (r) r += 2 * rowY;
    }
    if (i < m) tile1x16(x, p, b, r, y, kb, first);
    return;
  }
  for (; i + 4 <= m; i += 4) {
    tile4x4(x, p, b, r, y, row, kb, rowY, cols, first);
    x += 4 * row;
    y += 4 * rowY;
    if (r) r += 4 * rowY;
  }
  for (; i < m; i++) {
    tile1x4(x, p, b, r, y, kb, cols, first);
    x += row;
    y += rowY;
    if (r) r += rowY;
  }
}

/** Stores or adds the sums of a block. `bias` and `residual` are null except with the last block. */
// @ts-ignore: decorator
@inline function put(y: usize, bias: usize, residual: usize, first: bool, sum: v128): void {
  if (!first) sum = f32x4.add(v128.load(y), sum);
  if (bias) sum = f32x4.add(sum, v128.load(bias));
  if (residual) sum = f32x4.add(sum, v128.load(residual));
  v128.store(y, sum);
}

/** Like `put`, for the leading lanes only. It is used if fewer than four columns remain. */
function putSome(y: usize, bias: usize, residual: usize, first: bool, sum: v128, cols: i32): void {
  for (let c = 0; c < cols; c++) {
    const o = <usize>c << 2;
    let value = f32x4.extract_lane(sum, 0);
    if (!first) value = load<f32>(y + o) + value;
    if (bias) value += load<f32>(bias + o);
    if (residual) value += load<f32>(residual + o);
    store<f32>(y + o, value);
    sum = i8x16.shuffle(sum, sum, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
  }
}

// @ts-ignore: decorator
@inline function mac(sum: v128, a: v128, b: v128): v128 {
  return f32x4.add(sum, f32x4.mul(a, b));
}

// The exit between two steps splits the loop into two blocks, so that the operands of each block fit into the registers.
function tile2x16(
  x: usize, p: usize, bias: usize, residual: usize, y: usize, row: usize, k: i32, rowY: usize, first: bool,
): void {
  const end = x + (<usize>k << 2);
  let z = x + row;
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, c0 = a0, c1 = a0, c2 = a0, c3 = a0;
  while (true) {
    let w0 = v128.load(p), w1 = v128.load(p, 16), w2 = v128.load(p, 32), w3 = v128.load(p, 48);
    let u = v128.load32_splat(x), v = v128.load32_splat(z);
    a0 = mac(a0, u, w0);
    a1 = mac(a1, u, w1);
    a2 = mac(a2, u, w2);
    a3 = mac(a3, u, w3);
    c0 = mac(c0, v, w0);
    c1 = mac(c1, v, w1);
    c2 = mac(c2, v, w2);
    c3 = mac(c3, v, w3);
    if (x + 4 >= end) break;
    w0 = v128.load(p, 64), w1 = v128.load(p, 80), w2 = v128.load(p, 96), w3 = v128.load(p, 112);
    u = v128.load32_splat(x, 4), v = v128.load32_splat(z, 4);
    a0 = mac(a0, u, w0);
    a1 = mac(a1, u, w1);
    a2 = mac(a2, u, w2);
    a3 = mac(a3, u, w3);
    c0 = mac(c0, v, w0);
    c1 = mac(c1, v, w1);
    c2 = mac(c2, v, w2);
    c3 = mac(c3, v, w3);
    x += 8;
    z += 8;
    p += 128;
    if (x >= end) break;
  }
  const second = residual ? residual + rowY : 0;
  const b1 = bias ? bias + 16 : 0, b2 = bias ? bias + 32 : 0, b3 = bias ? bias + 48 : 0;
  put(y, bias, residual, first, a0);
  put(y + 16, b1, residual ? residual + 16 : 0, first, a1);
  put(y + 32, b2, residual ? residual + 32 : 0, first, a2);
  put(y + 48, b3, residual ? residual + 48 : 0, first, a3);
  y += rowY;
  put(y, bias, second, first, c0);
  put(y + 16, b1, second ? second + 16 : 0, first, c1);
  put(y + 32, b2, second ? second + 32 : 0, first, c2);
  put(y + 48, b3, second ? second + 48 : 0, first, c3);
}

function tile1x16(x: usize, p: usize, bias: usize, residual: usize, y: usize, k: i32, first: bool): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
  for (const end = x + (<usize>k << 2); x < end; x += 4) {
    const u = v128.load32_splat(x);
    a0 = mac(a0, u, v128.load(p));
    a1 = mac(a1, u, v128.load(p, 16));
    a2 = mac(a2, u, v128.load(p, 32));
    a3 = mac(a3, u, v128.load(p, 48));
    p += 64;
  }
  put(y, bias, residual, first, a0);
  put(y + 16, bias ? bias + 16 : 0, residual ? residual + 16 : 0, first, a1);
  put(y + 32, bias ? bias + 32 : 0, residual ? residual + 32 : 0, first, a2);
  put(y + 48, bias ? bias + 48 : 0, residual ? residual + 48 : 0, first, a3);
}

function tile4x4(
  x: usize, p: usize, bias: usize, residual: usize, y: usize, row: usize, k: i32, rowY: usize, cols: i32, first: bool,
): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
  for (const end = x + (<usize>k << 2); x < end; x += 4) {
    const w = v128.load(p);
    a0 = mac(a0, v128.load32_splat(x), w);
    a1 = mac(a1, v128.load32_splat(x + row), w);
    a2 = mac(a2, v128.load32_splat(x + 2 * row), w);
    a3 = mac(a3, v128.load32_splat(x + 3 * row), w);
    p += 16;
  }
  if (cols >= 4) {
    put(y, bias, residual, first, a0);
    put(y + rowY, bias, residual ? residual + rowY : 0, first, a1);
    put(y + 2 * rowY, bias, residual ? residual + 2 * rowY : 0, first, a2);
    put(y + 3 * rowY, bias, residual ? residual + 3 * rowY : 0, first, a3);
  } else {
    putSome(y, bias, residual, first, a0, cols);
    putSome(y + rowY, bias, residual ? residual + rowY : 0, first, a1, cols);
    putSome(y + 2 * rowY, bias, residual ? residual + 2 * rowY : 0, first, a2, cols);
    putSome(y + 3 * rowY, bias, residual ? residual + 3 * rowY : 0, first, a3, cols);
  }
}

function tile1x4(x: usize, p: usize, bias: usize, residual: usize, y: usize, k: i32, cols: i32, first: bool): void {
  let a = f32x4.splat(0);
  for (const end = x + (<usize>k << 2); x < end; x += 4) {
    a = mac(a, v128.load32_splat(x), v128.load(p));
    p += 16;
  }
  if (cols >= 4) put(y, bias, residual, first, a);
  else putSome(y, bias, residual, first, a, cols);
}

// Copies one lane of v to all four lanes.
// @ts-ignore: decorator
@inline function lane0(v: v128): v128 {
  return i8x16.shuffle(v, v, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
}
// @ts-ignore: decorator
@inline function lane1(v: v128): v128 {
  return i8x16.shuffle(v, v, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
}
// @ts-ignore: decorator
@inline function lane2(v: v128): v128 {
  return i8x16.shuffle(v, v, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11);
}
// @ts-ignore: decorator
@inline function lane3(v: v128): v128 {
  return i8x16.shuffle(v, v, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15);
}

/** Loads element `w` of four rows of w. */
// @ts-ignore: decorator
@inline function column(w: usize, row: usize): v128 {
  const v = v128.load_lane<f32>(w + row, v128.load32_zero(w), 1);
  return v128.load_lane<f32>(w + 3 * row, v128.load_lane<f32>(w + 2 * row, v, 2), 3);
}

function row1x8(x: usize, w: usize, bias: usize, residual: usize, y: usize, k: i32, kb: i32, first: bool): void {
  const row = <usize>k << 2;
  let z = w + 4 * row;
  let a = f32x4.splat(0), c = a;
  let q = 0;
  for (; q + 4 <= kb; q += 4) {
    const u = v128.load(x);
    const u0 = lane0(u), u1 = lane1(u), u2 = lane2(u), u3 = lane3(u);
    let w0 = v128.load(w), w1 = v128.load(w + row), w2 = v128.load(w + 2 * row), w3 = v128.load(w + 3 * row);
    let t0 = low(w0, w1), t1 = high(w0, w1), t2 = low(w2, w3), t3 = high(w2, w3);
    a = mac(mac(mac(mac(a, u0, lowPair(t0, t2)), u1, highPair(t0, t2)), u2, lowPair(t1, t3)), u3, highPair(t1, t3));
    w0 = v128.load(z), w1 = v128.load(z + row), w2 = v128.load(z + 2 * row), w3 = v128.load(z + 3 * row);
    t0 = low(w0, w1), t1 = high(w0, w1), t2 = low(w2, w3), t3 = high(w2, w3);
    c = mac(mac(mac(mac(c, u0, lowPair(t0, t2)), u1, highPair(t0, t2)), u2, lowPair(t1, t3)), u3, highPair(t1, t3));
    x += 16;
    w += 16;
    z += 16;
  }
  for (; q < kb; q++) {
    const u = v128.load32_splat(x);
    a = mac(a, u, column(w, row));
    c = mac(c, u, column(z, row));
    x += 4;
    w += 4;
    z += 4;
  }
  put(y, bias, residual, first, a);
  put(y + 16, bias ? bias + 16 : 0, residual ? residual + 16 : 0, first, c);
}
