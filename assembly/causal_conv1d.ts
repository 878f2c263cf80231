// y[t] = SiLU(bias + Σⱼ weight[j]·x[t-(k-1)+j]), inputs before position 0 from the state or zero.
// Four taps (d_conv of every released model) run on four channels at a time; other widths, and the last channels, one by one.
import { silu1, silu4 } from './lib/math';

/** Positions walked before the next channels are taken: few enough that their rows stay in the first-level cache. */
const SPAN = 32;

export function causal_conv1d_forward(
  x: usize, weight: usize, bias: usize, state: usize, y: usize,
  m: i32, l: i32, s: i32, c: i32, k: i32, q: i32, offset: i32,
): void {
  const xRow = (<usize>s) << 2;
  const yRow = (<usize>c) << 2;
  x += (<usize>offset) << 2;
  const wide = k == 4 ? c & ~3 : 0;
  for (let i = 0; i < m; i++) {
    for (let t = 0; t < l; t += SPAN) {
      const end = min(t + SPAN, l);
      for (let ch = 0; ch < wide; ch += 4) four(x, weight, bias, state, y, xRow, yRow, ch, t, end);
    }
    for (let ch = wide; ch < c; ch++) one(x, weight, bias, state, y, xRow, yRow, ch, k, l);
    if (state) {
      for (let ch = 0; ch < c; ch++, state += (<usize>q) << 2) {
        // In rising order the shifted inputs are read before they are overwritten.
        for (let j = 0; j < q; j++) store<f32>(state + (<usize>j << 2), input(x, state, xRow, <usize>ch << 2, l + j - q, q));
      }
    }
    x += <usize>l * xRow;
    y += <usize>l * yRow;
  }
}

// Input t of the channel at byte `at` of x; t < 0 is in the channel's state.
// @ts-ignore: decorator
@inline function input(x: usize, state: usize, xRow: usize, at: usize, t: i32, q: i32): f32 {
  if (t >= 0) return load<f32>(x + <usize>t * xRow + at);
  return state ? load<f32>(state + (<usize>(q + t) << 2)) : 0;
}

// Input t of four channels; their states follow one another, three values each.
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

function four(
  x: usize, weight: usize, bias: usize, state: usize, y: usize,
  xRow: usize, yRow: usize, ch: i32, t: i32, end: i32,
): void {
  const at = (<usize>ch) << 2;
  const w = weight + (at << 2);
  // [channel, tap] → a vector of channels per tap.
  const r0 = v128.load(w), r1 = v128.load(w, 16), r2 = v128.load(w, 32), r3 = v128.load(w, 48);
  const lo01 = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5), hi01 = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7);
  const lo23 = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5), hi23 = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
  const w0 = v128.shuffle<i64>(lo01, lo23, 0, 2), w1 = v128.shuffle<i64>(lo01, lo23, 1, 3);
  const w2 = v128.shuffle<i64>(hi01, hi23, 0, 2), w3 = v128.shuffle<i64>(hi01, hi23, 1, 3);
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
