// tokens[b, step[b]++] ~ softmax(logits[b] / temperature), cut to top_k, top_p and min_p, with integer weights w = round(p·2³⁰).
// The cuts of top_k and top_p are found by radix selection on integer keys in the order of the logits. It makes histograms of 11,
// 11 and 10 bits, highest bits first, of counts (top_k) or weights (top_p). The entries that pass top_k are packed together, so that
// all later loops are short.
import { exp4, hsum } from './lib/math';
import { threefry2x32 } from './lib/threefry';

const BINS: usize = 2048;
const ONE: f32 = 1073741824;
// Tokens that are less probable than this have no weight.
const NO_MIN_P: f32 = -100;

/** Bytes for the bins, and for the keys, ids and weights of a row. */
export function sample_forward_scratch(_b: i32, v: i32, _t: i32, _temperature: f32, _topK: i32, _topP: f32, _logMinP: f32): usize {
  return (BINS + 3 * <usize>v) << 2;
}

export function sample_forward(
  logits: usize, seed: usize, kept: usize, noise: usize, step: usize, tokens: usize,
  b: i32, v: i32, t: i32, temperature: f32, top_k: i32, top_p: f32, log_min_p: f32, scratch: usize,
): void {
  const row = (<usize>v) << 2;
  const keys = scratch + (BINS << 2), ids = keys + row, weights = ids + row;
  for (let i = 0; i < b; i++, logits += row, seed += 8, step += 4, tokens += (<usize>t) << 2) {
    const at = load<u32>(step);
    if (at >= <u32>t) continue;
    store<u32>(step, at + 1);
    if (kept && at < load<u32>(kept + (<usize>i << 2))) continue;
    const most = keysOf(logits, keys, row);
    const least = top_k > 0 && top_k < v ? cutAt(scratch, keys, 0, row, top_k) : 0;
    const end = pack(keys, ids, row, least);
    const total = weigh(keys, weights, end, most, temperature);
    let cut: u32 = 0, sum = total;
    if (log_min_p > NO_MIN_P) {
      const least = f32x4.extract_lane(value4(i32x4.splat(most)), 0) + temperature * log_min_p;
      cut = <u32>i32x4.extract_lane(key4(f32x4.splat(least)), 0);
    }
    if (top_p < 1) {
      const need = max<u32>(<u32>ceil<f64>(<f64>top_p * <f64>total), 1);
      cut = max<u32>(cut, cutAt(scratch, keys, weights, end, need));
    }
    if (cut) {
      sum = 0;
      for (let q: usize = 0; q < end; q += 4) sum += load<u32>(keys + q) >= cut ? load<u32>(weights + q) : 0;
    }
    const r: u64 = noise
      ? load<u32>(noise + ((<usize>i * t + at) << 2))
      : threefry2x32(load<u32>(seed), load<u32>(seed, 4), at, 0) >> 32;
    const target = <u32>((r * <u64>sum) >> 32);
    let q: usize = 0;
    for (let run: u32 = 0; ; q += 4) {
      run += load<u32>(keys + q) >= cut ? load<u32>(weights + q) : 0;
      if (run > target) break;
    }
    store<u32>(tokens + (<usize>at << 2), load<u32>(ids + q));
  }
}

// Infinities become the largest finite values, NaN becomes the smallest, and -0 becomes 0. Then all bits of negative values are
// inverted, and the sign bit of the others.
// @ts-ignore: decorator
@inline function key4(x: v128): v128 {
  const top = i32x4.splat(0x7f7fffff);
  const wild = i32x4.gt_s(v128.and(x, i32x4.splat(0x7fffffff)), top);
  const limit = v128.bitselect(top, i32x4.splat(0xff7fffff), i32x4.eq(x, i32x4.splat(0x7f800000)));
  const y = v128.bitselect(limit, x, wild);
  const bits = v128.andnot(y, i32x4.eq(y, i32x4.splat(0x80000000)));
  return v128.xor(bits, v128.or(i32x4.shr_s(bits, 31), i32x4.splat(0x80000000)));
}

// @ts-ignore: decorator
@inline function value4(key: v128): v128 {
  return v128.xor(key, v128.or(v128.not(i32x4.shr_s(key, 31)), i32x4.splat(0x80000000)));
}

// Stores the keys of a row and returns the largest.
function keysOf(logits: usize, keys: usize, row: usize): u32 {
  let m = i32x4.splat(0);
  let q: usize = 0;
  for (; q + 16 <= row; q += 16) {
    const k = key4(v128.load(logits + q));
    v128.store(keys + q, k);
    m = i32x4.max_u(m, k);
  }
  m = i32x4.max_u(m, v128.shuffle<i32>(m, m, 2, 3, 0, 1));
  let most = max<u32>(i32x4.extract_lane(m, 0), i32x4.extract_lane(m, 1));
  for (; q < row; q += 4) {
    const k = <u32>i32x4.extract_lane(key4(v128.load32_splat(logits + q)), 0);
    store<u32>(keys + q, k);
    most = max<u32>(most, k);
  }
  return most;
}

// Returns the largest key for which the sum over all keys at least as large reaches `need`. The sum is of weights, or counts keys
// if `weights` is null.
function cutAt(bins: usize, keys: usize, weights: usize, end: usize, need: u32): u32 {
  let key: u32 = 0, known: u32 = 0;
  let shift: u32 = 21, width: u32 = 11;
  while (true) {
    const mask: u32 = (1 << width) - 1;
    memory.fill(bins, 0, BINS << 2);
    for (let q: usize = 0; q < end; q += 4) {
      const k = load<u32>(keys + q);
      if ((k & known) != key) continue;
      const bin = bins + (<usize>((k >> shift) & mask) << 2);
      store<u32>(bin, load<u32>(bin) + (weights ? load<u32>(weights + q) : 1));
    }
    let bin = mask;
    for (let inside: u32; bin > 0 && (inside = load<u32>(bins + (<usize>bin << 2))) < need; bin--) need -= inside;
    key |= bin << shift;
    known |= mask << shift;
    if (shift == 0) break;
    width = shift == 21 ? 11 : 10;
    shift -= width;
  }
  return key;
}

// Moves keys ≥ least to the front, stores their original positions in `ids`, and returns their end. Writes never pass the reads.
function pack(keys: usize, ids: usize, row: usize, least: u32): usize {
  let n: usize = 0;
  for (let q: usize = 0; q < row; q += 4) {
    const k = load<u32>(keys + q);
    store<u32>(keys + n, k);
    store<u32>(ids + n, <u32>(q >> 2));
    n += <usize>(k >= least) << 2;
  }
  return n;
}

// Stores weights = round(2³⁰ · softmax) and returns their sum.
function weigh(keys: usize, weights: usize, end: usize, most: u32, temperature: f32): u32 {
  const m = value4(i32x4.splat(most)), t = f32x4.splat(temperature);
  let z4 = f32x4.splat(0);
  let q: usize = 0;
  for (; q + 16 <= end; q += 16) {
    const e = exp4(f32x4.div(f32x4.sub(value4(v128.load(keys + q)), m), t));
    v128.store(weights + q, e);
    z4 = f32x4.add(z4, e);
  }
  let z = hsum(z4);
  for (; q < end; q += 4) {
    const e = f32x4.extract_lane(exp4(f32x4.div(f32x4.sub(value4(v128.load32_splat(keys + q)), m), t)), 0);
    store<f32>(weights + q, e);
    z += e;
  }
  const factor = ONE / z;
  let sum: u32 = 0;
  for (q = 0; q < end; q += 4) {
    const w = <u32>nearest<f32>(load<f32>(weights + q) * factor);
    store<u32>(weights + q, w);
    sum += w;
  }
  return sum;
}
