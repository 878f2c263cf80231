// Shared SIMD helpers. All pointers are byte addresses of f32 data.

// @ts-ignore: decorator
@inline export function hsum(v: v128): f32 {
  const t = f32x4.add(v, i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return f32x4.extract_lane(t, 0) + f32x4.extract_lane(t, 1);
}

// exp(x) for four lanes: 2^n · e^r with |r| ≤ ln2/2, e^r by a degree-6 polynomial (relative error about 1e-7).
// @ts-ignore: decorator
@inline export function exp4(x: v128): v128 {
  const hi = f32x4.splat(88.37);
  const lo = f32x4.splat(-87.33);
  const v = f32x4.max(f32x4.min(x, hi), lo);
  const n = f32x4.nearest(f32x4.mul(v, f32x4.splat(1.44269504)));
  let r = f32x4.sub(v, f32x4.mul(n, f32x4.splat(0.693359375)));
  r = f32x4.add(r, f32x4.mul(n, f32x4.splat(2.12194440e-4)));
  let p = f32x4.splat(1.9875691500e-4);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.3981999507e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(8.3334519073e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(4.1665795894e-2));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.6666665459e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(5.0000001201e-1));
  p = f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), f32x4.add(r, f32x4.splat(1)));
  const scale = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  const y = f32x4.mul(p, scale);
  // Below the clamp the true value is under the smallest normal number: zero.
  return v128.and(y, f32x4.ge(x, lo));
}

// x·sigmoid(x) for four lanes.
// @ts-ignore: decorator
@inline export function silu4(x: v128): v128 {
  return f32x4.div(x, f32x4.add(f32x4.splat(1), exp4(f32x4.neg(x))));
}

// forward: y = x·σ(x)  ⇒  dx = dy·σ(x)·(1 + x·(1 - σ(x)))
// @ts-ignore: decorator
@inline export function siluGradient4(x: v128, dy: v128): v128 {
  const one = f32x4.splat(1);
  const s = f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(x))));
  return f32x4.mul(f32x4.mul(dy, s), f32x4.add(one, f32x4.mul(x, f32x4.sub(one, s))));
}

// The same lane arithmetic for a single value, so that a tail equals what a full vector would give.
// @ts-ignore: decorator
@inline export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}

// @ts-ignore: decorator
@inline export function silu1(x: f32): f32 {
  return f32x4.extract_lane(silu4(f32x4.splat(x)), 0);
}

// @ts-ignore: decorator
@inline export function siluGradient1(x: f32, dy: f32): f32 {
  return f32x4.extract_lane(siluGradient4(f32x4.splat(x), f32x4.splat(dy)), 0);
}

// log(1 + e^x)
// @ts-ignore: decorator
@inline export function softplus1(x: f32): f32 {
  return x > 20 ? x : Mathf.log1p(Mathf.exp(x));
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

// Σ x·y of n numbers.
export function dot(x: usize, y: usize, n: i32): f32 {
  const end = x + (<usize>n << 2);
  let sums = f32x4.splat(0);
  for (; x + 16 <= end; x += 16, y += 16) sums = f32x4.add(sums, f32x4.mul(v128.load(x), v128.load(y)));
  let sum = hsum(sums);
  for (; x < end; x += 4, y += 4) sum += load<f32>(x) * load<f32>(y);
  return sum;
}
