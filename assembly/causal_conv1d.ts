// y[t] = SiLU(bias + Σⱼ weight[j]·x[t-(k-1)+j]). Inputs before position 0 come from the state, or are zero without one.
// All released models have d_conv = 4, so kernels with four taps process four channels at a time. Other widths, and the last
// channels, are processed one by one. Threads divide the channels.
import { sigmoid4, silu1, silu4, siluSlope4 } from './lib/math';
import { begin } from './lib/split';

/** Positions processed before the next channels are taken. They are few enough that their rows stay in the first-level cache. */
const SPAN = 32;

export function causal_conv1d_forward(
  x: usize, weight: usize, bias: usize, state: usize, y: usize,
  m: i32, l: i32, s: i32, c: i32, k: i32, q: i32, offset: i32, part: i32, parts: i32,
): void {
  const xRow = (<usize>s) << 2;
  const yRow = (<usize>c) << 2;
  x += (<usize>offset) << 2;
  const first = begin(c, 4, part, parts), last = begin(c, 4, part + 1, parts);
  const wide = k == 4 ? last & ~3 : first;
  for (let i = 0; i < m; i++) {
    for (let t = 0; t < l; t += SPAN) {
      const end = min(t + SPAN, l);
      for (let ch = first; ch < wide; ch += 4) four(x, weight, bias, state, y, xRow, yRow, ch, t, end);
    }
    for (let ch = wide; ch < last; ch++) one(x, weight, bias, state, y, xRow, yRow, ch, k, l);
    if (state) {
      for (let ch = first; ch < last; ch++) {
        const past = state + (<usize>(ch * q) << 2);
        // The loop runs in rising order, so that each input is read before it is overwritten.
        for (let j = 0; j < q; j++) store<f32>(past + (<usize>j << 2), input(x, past, xRow, <usize>ch << 2, l + j - q, q));
      }
      state += <usize>(c * q) << 2;
    }
    x += <usize>l * xRow;
    y += <usize>l * yRow;
  }
}

// Returns input t of the channel at byte `at` of x. If t < 0, the input is in the channel's state.
// @ts-ignore: decorator
@inline function input(x: usize, state: usize, xRow: usize, at: usize, t: i32, q: i32): f32 {
  if (t >= 0) return load<f32>(x + <usize>t * xRow + at);
  return state ? load<f32>(state + (<usize>(q + t) << 2)) : 0;
}

// Returns input t of four channels. Their states are adjacent and have three values each.
// @ts-ignore: decorator
@inline function input4(x: usize, state: usize, xRow: usize, at: usize, t: i32): v128 {
  if (t >= 0) return v128.load(x + <usize>t * xRow + at);
  if (!state) return f32x4.splat(0);
  const from = state + at * 3 + (<usize>(3 + t) << 2);
  let v = v128.load32_zero(from);
  v = v128.load_lane<f32>(from, v, 1, 12);
  v = v128.load_lane<f32>(from, v, 2, 24);
  return v128.load_lane<f32>(from, v, 3, 36);
}

// These functions are the steps of a 4×4 transposition.
// @ts-ignore: decorator
@inline function zipLow(a: v128, b: v128): v128 { return v128.shuffle<i32>(a, b, 0, 4, 1, 5); }
// @ts-ignore: decorator
@inline function zipHigh(a: v128, b: v128): v128 { return v128.shuffle<i32>(a, b, 2, 6, 3, 7); }
// @ts-ignore: decorator
@inline function lowHalves(a: v128, b: v128): v128 { return v128.shuffle<i64>(a, b, 0, 2); }
// @ts-ignore: decorator
@inline function highHalves(a: v128, b: v128): v128 { return v128.shuffle<i64>(a, b, 1, 3); }

function four(
  x: usize, weight: usize, bias: usize, state: usize, y: usize,
  xRow: usize, yRow: usize, ch: i32, t: i32, end: i32,
): void {
  const at = (<usize>ch) << 2;
  const w = weight + (at << 2);
  // Transposes weights [channel, tap] into one vector of channels for each tap.
  const r0 = v128.load(w), r1 = v128.load(w, 16), r2 = v128.load(w, 32), r3 = v128.load(w, 48);
  const lo01 = zipLow(r0, r1), hi01 = zipHigh(r0, r1);
  const lo23 = zipLow(r2, r3), hi23 = zipHigh(r2, r3);
  const w0 = lowHalves(lo01, lo23), w1 = highHalves(lo01, lo23);
  const w2 = lowHalves(hi01, hi23), w3 = highHalves(hi01, hi23);
  const b = v128.load(bias + at);
  let x0 = input4(x, state, xRow, at, t - 3);
  let x1 = input4(x, state, xRow, at, t - 2);
  let x2 = input4(x, state, xRow, at, t - 1);
  let xt = x + <usize>t * xRow + at;
  let yt = y + <usize>t * yRow + at;
  for (; t < end; t++, xt += xRow, yt += yRow) {
    const x3 = v128.load(xt);
    let u = f32x4.add(b, f32x4.mul(w0, x0));
    u = f32x4.add(u, f32x4.mul(w1, x1));
    u = f32x4.add(u, f32x4.mul(w2, x2));
    u = f32x4.add(u, f32x4.mul(w3, x3));
    v128.store(yt, silu4(u));
    x0 = x1;
    x1 = x2;
    x2 = x3;
  }
}

function one(
  x: usize, weight: usize, bias: usize, state: usize, y: usize,
  xRow: usize, yRow: usize, ch: i32, k: i32, l: i32,
): void {
  const at = (<usize>ch) << 2;
  const past = state ? state + at * <usize>(k - 1) : 0;
  for (let t = 0; t < l; t++) {
    let u = load<f32>(bias + at);
    for (let j = 0; j < k; j++) u += load<f32>(weight + at * <usize>k + (<usize>j << 2)) * input(x, past, xRow, at, t + j - k + 1, k - 1);
    store<f32>(y + <usize>t * yRow + at, silu1(u));
  }
}

export function causal_conv1d_backward(
  x: usize, weight: usize, bias: usize, dy: usize, dx: usize, dweight_rows: usize, dbias_rows: usize,
  m: i32, l: i32, s: i32, c: i32, k: i32, w: i32, offset: i32, part: i32, parts: i32,
): void {
  const xRow = (<usize>s) << 2;
  const yRow = (<usize>c) << 2;
  const spans = w / m;
  const span = (l + spans - 1) / spans;
  x += (<usize>offset) << 2;
  dx += (<usize>offset) << 2;
  const first = begin(c, 4, part, parts), last = begin(c, 4, part + 1, parts);
  const wide = k == 4 ? last & ~3 : first;
  for (let i = 0; i < m; i++) {
    for (let p = 0; p < spans; p++) {
      const t0 = min(p * span, l), t1 = min(t0 + span, l);
      for (let ch = first; ch < wide; ch += 4) back4(x, weight, bias, dy, dx, dweight_rows, dbias_rows, xRow, yRow, ch, t0, t1, l);
      for (let ch = wide; ch < last; ch++) back1(x, weight, bias, dy, dx, dweight_rows, dbias_rows, xRow, yRow, ch, k, t0, t1, l);
      dweight_rows += yRow * <usize>k;
      dbias_rows += yRow;
    }
    x += <usize>l * xRow;
    dx += <usize>l * xRow;
    dy += <usize>l * yRow;
  }
}

// Processes positions t0 to t1 of four channels, and the three positions after t1, whose du contribute to dx before t1.
function back4(
  x: usize, weight: usize, bias: usize, dy: usize, dx: usize, dweight: usize, dbias: usize,
  xRow: usize, yRow: usize, ch: i32, t0: i32, t1: i32, l: i32,
): void {
  const at = (<usize>ch) << 2;
  const w = weight + (at << 2);
  // Transposes weights [channel, tap] into one vector of channels for each tap.
  const r0 = v128.load(w), r1 = v128.load(w, 16), r2 = v128.load(w, 32), r3 = v128.load(w, 48);
  const lo01 = zipLow(r0, r1), hi01 = zipHigh(r0, r1);
  const lo23 = zipLow(r2, r3), hi23 = zipHigh(r2, r3);
  const w0 = lowHalves(lo01, lo23), w1 = highHalves(lo01, lo23);
  const w2 = lowHalves(hi01, hi23), w3 = highHalves(hi01, hi23);
  const b = v128.load(bias + at);
  let x0 = input4(x, 0, xRow, at, t0 - 3);
  let x1 = input4(x, 0, xRow, at, t0 - 2);
  let x2 = input4(x, 0, xRow, at, t0 - 1);
  let u0 = f32x4.splat(0), u1 = u0, u2 = u0;
  let s0 = u0, s1 = u0, s2 = u0, s3 = u0, sb = u0;
  const end = t0 < t1 ? t1 + 3 : t0;
  for (let t = t0; t < end; t++) {
    let du = f32x4.splat(0);
    if (t < l) {
      const x3 = v128.load(x + <usize>t * xRow + at);
      let u = f32x4.add(b, f32x4.mul(w0, x0));
      u = f32x4.add(u, f32x4.mul(w1, x1));
      u = f32x4.add(u, f32x4.mul(w2, x2));
      u = f32x4.add(u, f32x4.mul(w3, x3));
      // forward: y = SiLU(u)  ⇒  du = dy·SiLU'(u)
      du = f32x4.mul(v128.load(dy + <usize>t * yRow + at), siluSlope4(u, sigmoid4(u)));
      // forward: u[t] = bias + Σⱼ weight[j]·x[t-3+j]  ⇒  dbias += du[t], dweight[j] += du[t]·x[t-3+j]
      if (t < t1) {
        sb = f32x4.add(sb, du);
        s0 = f32x4.add(s0, f32x4.mul(du, x0));
        s1 = f32x4.add(s1, f32x4.mul(du, x1));
        s2 = f32x4.add(s2, f32x4.mul(du, x2));
        s3 = f32x4.add(s3, f32x4.mul(du, x3));
      }
      x0 = x1;
      x1 = x2;
      x2 = x3;
    }
    // ⇒  dx[t-3] = Σⱼ weight[j]·du[t-j]
    if (t >= t0 + 3) {
      let d = f32x4.add(f32x4.mul(w0, du), f32x4.mul(w1, u2));
      d = f32x4.add(d, f32x4.mul(w2, u1));
      d = f32x4.add(d, f32x4.mul(w3, u0));
      v128.store(dx + <usize>(t - 3) * xRow + at, d);
    }
    u0 = u1;
    u1 = u2;
    u2 = du;
  }
  const a01 = zipLow(s0, s1), b01 = zipHigh(s0, s1);
  const a23 = zipLow(s2, s3), b23 = zipHigh(s2, s3);
  const to = dweight + (at << 2);
  v128.store(to, lowHalves(a01, a23));
  v128.store(to, highHalves(a01, a23), 16);
  v128.store(to, lowHalves(b01, b23), 32);
  v128.store(to, highHalves(b01, b23), 48);
  v128.store(dbias + at, sb);
}

function back1(
  x: usize, weight: usize, bias: usize, dy: usize, dx: usize, dweight: usize, dbias: usize,
  xRow: usize, yRow: usize, ch: i32, k: i32, t0: i32, t1: i32, l: i32,
): void {
  const at = (<usize>ch) << 2;
  weight += at * <usize>k;
  dweight += at * <usize>k;
  memory.fill(dweight, 0, (<usize>k) << 2);
  let sum: f32 = 0;
  for (let t = t0; t < t1; t++) store<f32>(dx + <usize>t * xRow + at, 0);
  for (let t = t0, end = t0 < t1 ? min(t1 + k - 1, l) : t0; t < end; t++) {
    let u = load<f32>(bias + at);
    for (let j = 0; j < k; j++) u += load<f32>(weight + (<usize>j << 2)) * input(x, 0, xRow, at, t + j - k + 1, k - 1);
    // forward: y = SiLU(u)  ⇒  du = dy·SiLU'(u)
    const uv = f32x4.splat(u);
    const du = load<f32>(dy + <usize>t * yRow + at) * f32x4.extract_lane(siluSlope4(uv, sigmoid4(uv)), 0);
    if (t < t1) sum += du;
    // forward: u[t] = bias + Σⱼ weight[j]·x[t-(k-1)+j]  ⇒  dx[t-(k-1)+j] += du[t]·weight[j], dweight[j] += du[t]·x[t-(k-1)+j]
    for (let j = 0; j < k; j++) {
      const q = t + j - k + 1;
      const tap = (<usize>j) << 2;
      if (t < t1) store<f32>(dweight + tap, load<f32>(dweight + tap) + du * input(x, 0, xRow, at, q, k - 1));
      if (q >= t0 && q < t1) {
        const to = dx + <usize>q * xRow + at;
        store<f32>(to, load<f32>(to) + du * load<f32>(weight + tap));
      }
    }
  }
  store<f32>(dbias + at, sum);
}
