// SIMD helpers that the kernels share. All pointers are byte addresses of f32 data.

// @ts-ignore: decorator
@inline export function hsum(v: v128): f32 {
  const t = f32x4.add(v, i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return f32x4.extract_lane(t, 0) + f32x4.extract_lane(t, 1);
}

/** Adding 1.5·2^23 to a small float rounds it to an integer, which is then in the low bits of the sum. */
const ROUND: f32 = 12582912;

// exp(x) for four lanes, as 2^n · e^r with |r| ≤ ln2/2. A polynomial of degree 6 gives e^r with a relative error of about 1e-7.
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
  // For x below the clamp the true value is smaller than the smallest normal number, so the result is zero. NaN stays NaN.
  return v128.andnot(y, f32x4.lt(x, lo));
}

// 2^x for x ≤ 0 in four lanes, and 2^-125 for any x below -125. It computes decays exp(Δ A), with log2(e) folded into A. It is
// exact at 0, so that slow decays over many positions are not biased. Terms are evaluated in pairs, which shortens the chain of
// dependent operations.
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

// The scalar versions use the arithmetic of one lane, so that the tail of an array has the values that a full vector would have.
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

// log(1 + e^x) = max(x, 0) + log1p(u) with u = e^-|x|. A polynomial evaluates log1p(u) = 2 atanh(u / (2 + u)) with a relative
// error of about 1e-7 for every x.
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

// Returns √Σx² of n numbers. It is meant for short rows and uses no vectors.
// @ts-ignore: decorator
@inline export function rowLength(x: usize, n: i32): f32 {
  let square: f32 = 0;
  for (let j = 0; j < n; j++) {
    const v = load<f32>(x + (<usize>j << 2));
    square += v * v;
  }
  return sqrt<f32>(square);
}

// Adds `bytes` bytes of x to y.
// @ts-ignore: decorator
@inline export function addTo(y: usize, x: usize, bytes: usize): void {
  let q: usize = 0;
  for (; q + 16 <= bytes; q += 16) v128.store(y + q, f32x4.add(v128.load(y + q), v128.load(x + q)));
  for (; q < bytes; q += 4) store<f32>(y + q, load<f32>(y + q) + load<f32>(x + q));
}

// Returns Σ x·y over n numbers.
export function dot(x: usize, y: usize, n: i32): f32 {
  const end = x + (<usize>n << 2);
  let sums = f32x4.splat(0);
  for (; x + 16 <= end; x += 16, y += 16) sums = f32x4.add(sums, f32x4.mul(v128.load(x), v128.load(y)));
  let sum = hsum(sums);
  for (; x < end; x += 4, y += 4) sum += load<f32>(x) * load<f32>(y);
  return sum;
}
