// H_t = exp(dt_t A) H_{t-1} + dt_t·x_t ⊗ B_t,  y_t = H_t C_t + D x_t,  dt = softplus(dt + dt_bias), A = -exp(A_log).
// A step is bound by the state's traffic: each element is read and written once, four rows of p at a time sharing the
// loads of B and C. A sequence walks l for one tile of rows, which stays in the first-level cache, with the same arithmetic.
import { exp1, hsum, softplus1 } from './lib/math';

/** Rows of a state tile; also in src/ops/ssd.ts, for the scratch that holds one when there is no state. */
const TILE_ROWS: i32 = 16;

export function ssd_forward(
  xbc: usize, zxbcdt: usize, A_log: usize, dt_bias: usize, D: usize, state: usize, y: usize,
  m: i32, l: i32, c: i32, s: i32, h: i32, _p: i32, _n: i32, e: i32,
  ngroups: i32, p: i32, n: i32, scratch: usize,
): void {
  const stride = (<usize>n) << 2;
  const groupHeads = h / ngroups;
  for (let i = 0; i < m; i++) {
    for (let k = 0; k < h; k++) {
      const A = -exp1(load<f32>(A_log + (<usize>k << 2)));
      const bias = load<f32>(dt_bias + (<usize>k << 2));
      const Dk = load<f32>(D + (<usize>k << 2));
      const B0 = <usize>(e + (k / groupHeads) * n);
      for (let r0 = 0; r0 < p; r0 += TILE_ROWS) {
        const rows = min(TILE_ROWS, p - r0);
        let H = scratch;
        if (state) H = state + ((<usize>i * <usize>h + <usize>k) * <usize>p + <usize>r0) * stride;
        else memory.fill(H, 0, <usize>rows * stride);
        for (let t = 0; t < l; t++) {
          const row = <usize>i * <usize>l + <usize>t;
          const dt = softplus1(load<f32>(zxbcdt + ((row * <usize>s + <usize>(s - h + k)) << 2)) + bias);
          const a = exp1(dt * A);
          const x = xbc + ((row * <usize>c + <usize>(k * p + r0)) << 2);
          const B = xbc + ((row * <usize>c + B0) << 2);
          const C = B + <usize>ngroups * stride;
          const out = y + ((row * <usize>e + <usize>(k * p + r0)) << 2);
          let r = 0;
          for (; r + 4 <= rows; r += 4) rows4(H + <usize>r * stride, x + (<usize>r << 2), B, C, out + (<usize>r << 2), stride, a, dt, Dk);
          for (; r < rows; r++) rows1(H + <usize>r * stride, x + (<usize>r << 2), B, C, out + (<usize>r << 2), stride, a, dt, Dk);
        }
      }
    }
  }
}

// @ts-ignore: decorator
@inline function tail(H: usize, B: usize, C: usize, from: usize, stride: usize, a: f32, u: f32, sum: f32): f32 {
  for (let q = from; q < stride; q += 4) {
    const v = a * load<f32>(H + q) + u * load<f32>(B + q);
    store<f32>(H + q, v);
    sum += v * load<f32>(C + q);
  }
  return sum;
}

function rows1(H: usize, x: usize, B: usize, C: usize, y: usize, stride: usize, a: f32, dt: f32, D: f32): void {
  const xr = load<f32>(x);
  const u = dt * xr;
  const av = f32x4.splat(a), uv = f32x4.splat(u);
  let acc = f32x4.splat(0);
  const end = stride & ~15;
  for (let q: usize = 0; q < end; q += 16) {
    const v = f32x4.add(f32x4.mul(av, v128.load(H + q)), f32x4.mul(uv, v128.load(B + q)));
    v128.store(H + q, v);
    acc = f32x4.add(acc, f32x4.mul(v, v128.load(C + q)));
  }
  store<f32>(y, D * xr + tail(H, B, C, end, stride, a, u, hsum(acc)));
}

function rows4(H0: usize, x: usize, B: usize, C: usize, y: usize, stride: usize, a: f32, dt: f32, D: f32): void {
  const H1 = H0 + stride, H2 = H1 + stride, H3 = H2 + stride;
  const xv = v128.load(x);
  const u = f32x4.mul(f32x4.splat(dt), xv);
  const av = f32x4.splat(a);
  const u0 = i8x16.shuffle(u, u, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
  const u1 = i8x16.shuffle(u, u, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
  const u2 = i8x16.shuffle(u, u, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11);
  const u3 = i8x16.shuffle(u, u, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15);
  let c0 = f32x4.splat(0), c1 = c0, c2 = c0, c3 = c0;
  const end = stride & ~15;
  for (let q: usize = 0; q < end; q += 16) {
    const b = v128.load(B + q), c = v128.load(C + q);
    let v = f32x4.add(f32x4.mul(av, v128.load(H0 + q)), f32x4.mul(u0, b));
    v128.store(H0 + q, v);
    c0 = f32x4.add(c0, f32x4.mul(v, c));
    v = f32x4.add(f32x4.mul(av, v128.load(H1 + q)), f32x4.mul(u1, b));
    v128.store(H1 + q, v);
    c1 = f32x4.add(c1, f32x4.mul(v, c));
    v = f32x4.add(f32x4.mul(av, v128.load(H2 + q)), f32x4.mul(u2, b));
    v128.store(H2 + q, v);
    c2 = f32x4.add(c2, f32x4.mul(v, c));
    v = f32x4.add(f32x4.mul(av, v128.load(H3 + q)), f32x4.mul(u3, b));
    v128.store(H3 + q, v);
    c3 = f32x4.add(c3, f32x4.mul(v, c));
  }
  store<f32>(y, D * load<f32>(x) + tail(H0, B, C, end, stride, a, f32x4.extract_lane(u, 0), hsum(c0)));
  store<f32>(y, D * load<f32>(x, 4) + tail(H1, B, C, end, stride, a, f32x4.extract_lane(u, 1), hsum(c1)), 4);
  store<f32>(y, D * load<f32>(x, 8) + tail(H2, B, C, end, stride, a, f32x4.extract_lane(u, 2), hsum(c2)), 8);
  store<f32>(y, D * load<f32>(x, 12) + tail(H3, B, C, end, stride, a, f32x4.extract_lane(u, 3), hsum(c3)), 12);
}
