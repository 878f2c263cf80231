// Shared SIMD helpers. All pointers are byte addresses of f32 data.

// @ts-ignore: decorator
@inline export function hsum(v: v128): f32 {
  const t = f32x4.add(v, i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return f32x4.extract_lane(t, 0) + f32x4.extract_lane(t, 1);
}

/** Adding 1.5·2^23 rounds a small float to an integer, which then sits in the low bits of the sum. */
const ROUND: f32 = 12582912;

// exp(x) for four lanes: 2^n · e^r with |r| ≤ ln2/2, e^r by a degree-6 polynomial (relative error about 1e-7).
// @ts-ignore: decorator
@inline export function exp4(x: v128): v128 {
  const hi = f32x4.splat(88.37);
  const lo = f32x4.splat(-87.33);
  const v = f32x4.pmin(f32x4.pmax(x, lo), hi);
  const t = f32x4.add(f32x4.mul(v, f32x4.splat(1.44269504)), f32x4.splat(ROUND));
  const n = f32x4.sub(t, f32x4.splat(ROUND));
  let r = f32x4.sub(v, f32x4.mul(n, f32x4.splat(0.693359375)));
  r = f32x4.add(r, f32x4.mul(n, f32x4.splat(2.12194440e-4)));
  let p = f32x4.splat(1.9875691500e-4);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.3981999507e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(8.3334519073e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(4.1665795894e-2));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.6666665459e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(5.0000001201e-1));
  p = f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), f32x4.add(r, f32x4.splat(1)));
  const y = f32x4.mul(p, i32x4.add(i32x4.shl(t, 23), i32x4.splat(127 << 23)));
  // Below the clamp the true value is under the smallest normal number: zero. NaN stays NaN.
  return v128.andnot(y, f32x4.lt(x, lo));
}

// 2^x of x ≤ 0 for four lanes, and 2^-125 for anything below: for decays exp(Δ A) with log2(e) folded into A. Exact at 0,
// so that slow decays over many positions are not biased; terms in pairs, for a short chain of dependent operations.
// @ts-ignore: decorator
@inline export function decay4(x: v128): v128 {
  const v = f32x4.pmax(x, f32x4.splat(-125));
  const t = f32x4.add(v, f32x4.splat(ROUND));
  const r = f32x4.sub(v, f32x4.sub(t, f32x4.splat(ROUND)));
  const r2 = f32x4.mul(r, r);
  let p = f32x4.add(f32x4.mul(r2, f32x4.splat(1.545316295e-4)), f32x4.add(f32x4.mul(r, f32x4.splat(1.339086336e-3)), f32x4.splat(9.618082557e-3)));
  p = f32x4.add(f32x4.mul(r2, p), f32x4.add(f32x4.mul(r, f32x4.splat(5.550357114e-2)), f32x4.splat(2.402265076e-1)));
  p = f32x4.add(f32x4.mul(r2, p), f32x4.add(f32x4.mul(r, f32x4.splat(6.931471880e-1)), f32x4.splat(1)));
  return i32x4.add(p, i32x4.shl(t, 23));
}

// x·sigmoid(x) for four lanes.
// @ts-ignore: decorator
@inline export function silu4(x: v128): v128 {
  return f32x4.div(x, f32x4.add(f32x4.splat(1), exp4(f32x4.neg(x))));
}

// sigmoid(x) for four lanes.
// @ts-ignore: decorator
@inline export function sigmoid4(x: v128): v128 {
  return f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), exp4(f32x4.neg(x))));
}

// The derivative of x·sigmoid(x), from x and s = sigmoid(x).
// @ts-ignore: decorator
@inline export function siluSlope4(x: v128, s: v128): v128 {
  const one = f32x4.splat(1);
  return f32x4.mul(s, f32x4.add(one, f32x4.mul(x, f32x4.sub(one, s))));
}

// forward: y = x·σ(x)  ⇒  dx = dy·σ(x)·(1 + x·(1 - σ(x)))
// @ts-ignore: decorator
@inline export function siluGradient4(x: v128, dy: v128): v128 {
  return f32x4.mul(dy, siluSlope4(x, sigmoid4(x)));
}

// The same lane arithmetic for a single value, so that a tail equals what a full vector would give.
// @ts-ignore: decorator
@inline export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}

// @ts-ignore: decorator
@inline export function decay1(x: f32): f32 {
  return f32x4.extract_lane(decay4(f32x4.splat(x)), 0);
}

// @ts-ignore: decorator
@inline export function sigmoid1(x: f32): f32 {
  return f32x4.extract_lane(sigmoid4(f32x4.splat(x)), 0);
}

// @ts-ignore: decorator
@inline export function silu1(x: f32): f32 {
  return f32x4.extract_lane(silu4(f32x4.splat(x)), 0);
}

// @ts-ignore: decorator
@inline export function siluGradient1(x: f32, dy: f32): f32 {
  return f32x4.extract_lane(siluGradient4(f32x4.splat(x), f32x4.splat(dy)), 0);
}

// log(1 + e^x) = max(x, 0) + log1p(u), u = e^-|x|, with log1p(u) = 2 atanh(u / (2 + u)) by a polynomial (relative error
// about 1e-7 for every x).
// @ts-ignore: decorator
@inline export function softplus4(x: v128): v128 {
  const u = exp4(f32x4.neg(f32x4.abs(x)));
  const r = f32x4.div(u, f32x4.add(f32x4.splat(2), u));
  const q = f32x4.mul(r, r);
  let p = f32x4.splat(0.28157778);
  p = f32x4.add(f32x4.mul(p, q), f32x4.splat(0.27965158));
  p = f32x4.add(f32x4.mul(p, q), f32x4.splat(0.40024595));
  p = f32x4.add(f32x4.mul(p, q), f32x4.splat(0.66666322));
  p = f32x4.add(f32x4.mul(p, q), f32x4.splat(2));
  return f32x4.add(f32x4.max(x, f32x4.splat(0)), f32x4.mul(r, p));
}

// @ts-ignore: decorator
@inline export function softplus1(x: f32): f32 {
  return f32x4.extract_lane(softplus4(f32x4.splat(x)), 0);
}

// √Σx² of n numbers. For short rows: no vectors.
// @ts-ignore: decorator
@inline export function rowLength(x: usize, n: i32): f32 {
  let square: f32 = 0;
  for (let j = 0; j < n; j++) {
    const v = load<f32>(x + (<usize>j << 2));
    square += v * v;
  }
  return sqrt<f32>(square);
}

// y += x over `bytes` bytes.
// @ts-ignore: decorator
@inline export function addTo(y: usize, x: usize, bytes: usize): void {
  let q: usize = 0;
  for (; q + 16 <= bytes; q += 16) v128.store(y + q, f32x4.add(v128.load(y + q), v128.load(x + q)));
  for (; q < bytes; q += 4) store<f32>(y + q, load<f32>(y + q) + load<f32>(x + q));
}

// Σ x·y of n numbers.
export function dot(x: usize, y: usize, n: i32): f32 {
  const end = x + (<usize>n << 2);
  let sums = f32x4.splat(0);
  for (; x + 16 <= end; x += 16, y += 16) sums = f32x4.add(sums, f32x4.mul(v128.load(x), v128.load(y)));
  let sum = hsum(sums);
  for (; x < end; x += 4, y += 4) sum += load<f32>(x) * load<f32>(y);
  return sum;
}
