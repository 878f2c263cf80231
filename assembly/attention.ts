// y[i] = Σⱼ softmaxⱼ(q[i]·k[j]·c^-½)·v[j], computed as two matrix products. k and v are packed once for each sequence, and
// queries are taken in blocks. Threads divide the rows of the output.
import { dot, exp1, exp4, hsum } from './lib/math';
import { begin } from './lib/split';
import { gemmPacked, packAll, packAllTurned, packedBytes } from './linear';

/** Rows in a block. These are queries, or keys in backward_key. */
const ROWS: i32 = 32;

/** Bytes for packed k and v, and for the scores of one block. */
export function attention_forward_scratch(_b: i32, s: i32, c: i32): usize {
  return packedBytes(c, s) + packedBytes(s, c) + blockBytes(s);
}

function blockBytes(s: i32): usize {
  return (<usize>ROWS * <usize>s) << 2;
}

export function attention_forward(q: usize, k: usize, v: usize, y: usize, b: i32, s: i32, c: i32, scratch: usize, part: i32, parts: i32): void {
  const sequence = (<usize>s * <usize>c) << 2;
  const values = scratch + packedBytes(c, s);
  const scores = values + packedBytes(s, c);
  const scale = <f32>(1 / sqrt<f64>(c));
  const first = begin(b * s, 4, part, parts), last = begin(b * s, 4, part + 1, parts);
  for (let n = 0; n < b; n++) {
    const from = max(first - n * s, 0), to = min(last - n * s, s);
    if (from < to) {
      packAll(k, c, s, scratch);
      packAllTurned(v, s, c, values);
    }
    for (let i = from; i < to; i += ROWS) {
      const rows = min(ROWS, to - i), at = (<usize>i * <usize>c) << 2;
      gemmPacked(q + at, scratch, 0, 0, scores, rows, c, s);
      for (let r = 0; r < rows; r++) softmax(scores + ((<usize>r * <usize>s) << 2), s, scale);
      gemmPacked(scores, values, 0, 0, y + at, rows, s, c);
    }
    q += sequence;
    k += sequence;
    v += sequence;
    y += sequence;
  }
}

/** Bytes for packed k and v, a second packing of k for dq, and the scores and dp of one block. */
export function attention_backward_query_scratch(_b: i32, s: i32, c: i32): usize {
  return 2 * packedBytes(c, s) + packedBytes(s, c) + 2 * blockBytes(s);
}

// With s = q·k·c^-½, p = softmax(s):
// forward: y = Σⱼ pᵢⱼ·v[j]  ⇒  dpᵢⱼ = dy[i]·v[j], dsᵢⱼ = pᵢⱼ·(dpᵢⱼ - dy[i]·y[i]);  s = q·k·c^-½  ⇒  dq[i] = Σⱼ dsᵢⱼ·k[j]·c^-½
export function attention_backward_query(
  q: usize, k: usize, v: usize, y: usize, dy: usize, dq: usize, stats: usize,
  b: i32, s: i32, c: i32, scratch: usize, part: i32, parts: i32,
): void {
  const row = <usize>s << 2, sequence = row * c;
  const values = scratch + packedBytes(c, s), keys = values + packedBytes(c, s);
  const scores = keys + packedBytes(s, c), dp = scores + blockBytes(s);
  const scale = <f32>(1 / sqrt<f64>(c));
  const first = begin(b * s, 4, part, parts), last = begin(b * s, 4, part + 1, parts);
  for (let n = 0; n < b; n++) {
    const from = max(first - n * s, 0), to = min(last - n * s, s);
    if (from < to) {
      packAll(k, c, s, scratch);
      packAll(v, c, s, values);
      packAllTurned(k, s, c, keys);
    }
    for (let i = from; i < to; i += ROWS) {
      const rows = min(ROWS, to - i), at = (<usize>i * <usize>c) << 2;
      gemmPacked(q + at, scratch, 0, 0, scores, rows, c, s);
      gemmPacked(dy + at, values, 0, 0, dp, rows, c, s);
      for (let r = 0; r < rows; r++) {
        const o = <usize>r * row, d = at + ((<usize>r * <usize>c) << 2);
        const stat = stats + (<usize>(i + r) << 2);
        store<f32>(stat, softmax(scores + o, s, scale));
        store<f32>(stat + row, dot(dy + d, y + d, c));
        const outer = load<f32>(stat + row);
        let j: usize = 0;
        for (; j + 16 <= row; j += 16) {
          const p = scores + o + j, d = f32x4.sub(v128.load(dp + o + j), f32x4.splat(outer));
          v128.store(p, f32x4.mul(f32x4.mul(v128.load(p), d), f32x4.splat(scale)));
        }
        for (; j < row; j += 4) {
          const p = scores + o + j;
          store<f32>(p, load<f32>(p) * (load<f32>(dp + o + j) - outer) * scale);
        }
      }
      gemmPacked(scores, keys, 0, 0, dq + at, rows, s, c);
    }
    q += sequence;
    k += sequence;
    v += sequence;
    y += sequence;
    dy += sequence;
    dq += sequence;
    stats += 2 * row;
  }
}

/** Bytes for q and dy, each packed in both layouts, and the scores and dp of one block. */
export function attention_backward_key_scratch(_b: i32, s: i32, c: i32): usize {
  return 2 * packedBytes(c, s) + 2 * packedBytes(s, c) + 2 * blockBytes(s);
}

// forward: y[i] = Σⱼ pᵢⱼ·v[j]  ⇒  dv[j] = Σᵢ pᵢⱼ·dy[i];  s = q·k·c^-½  ⇒  dk[j] = Σᵢ dsᵢⱼ·q[i]·c^-½
export function attention_backward_key(
  q: usize, k: usize, v: usize, dy: usize, stats: usize, dk: usize, dv: usize,
  b: i32, s: i32, c: i32, scratch: usize, part: i32, parts: i32,
): void {
  const row = <usize>s << 2, sequence = row * c;
  const packedDy = scratch + packedBytes(c, s), queries = packedDy + packedBytes(c, s);
  const turnedDy = queries + packedBytes(s, c), scores = turnedDy + packedBytes(s, c), dp = scores + blockBytes(s);
  const scale = <f32>(1 / sqrt<f64>(c));
  const first = begin(b * s, 4, part, parts), last = begin(b * s, 4, part + 1, parts);
  for (let n = 0; n < b; n++) {
    const from = max(first - n * s, 0), to = min(last - n * s, s);
    if (from < to) {
      packAll(q, c, s, scratch);
      packAll(dy, c, s, packedDy);
      packAllTurned(q, s, c, queries);
      packAllTurned(dy, s, c, turnedDy);
    }
    for (let j = from; j < to; j += ROWS) {
      const rows = min(ROWS, to - j), at = (<usize>j * <usize>c) << 2;
      gemmPacked(k + at, scratch, 0, 0, scores, rows, c, s);
      gemmPacked(v + at, packedDy, 0, 0, dp, rows, c, s);
      for (let r = 0; r < rows; r++) {
        const o = <usize>r * row;
        let i: usize = 0;
        for (; i + 16 <= row; i += 16) {
          const score = f32x4.mul(v128.load(scores + o + i), f32x4.splat(scale));
          const p = exp4(f32x4.sub(score, v128.load(stats + i)));
          const d = f32x4.sub(v128.load(dp + o + i), v128.load(stats + row + i));
          v128.store(scores + o + i, p);
          v128.store(dp + o + i, f32x4.mul(f32x4.mul(p, d), f32x4.splat(scale)));
        }
        for (; i < row; i += 4) {
          const p = exp1(load<f32>(scores + o + i) * scale - load<f32>(stats + i));
          store<f32>(scores + o + i, p);
          store<f32>(dp + o + i, p * (load<f32>(dp + o + i) - load<f32>(stats + row + i)) * scale);
        }
      }
      gemmPacked(scores, turnedDy, 0, 0, dv + at, rows, s, c);
      gemmPacked(dp, queries, 0, 0, dk + at, rows, s, c);
    }
    q += sequence;
    k += sequence;
    v += sequence;
    dy += sequence;
    dk += sequence;
    dv += sequence;
    stats += 2 * row;
  }
}

/** Computes softmax(x·scale) in place and returns log Σ exp(x·scale). */
export function softmax(x: usize, n: i32, scale: f32): f32 {
  const end = x + (<usize>n << 2);
  let most = load<f32>(x);
  for (let p = x + 4; p < end; p += 4) most = max(most, load<f32>(p));
  const m = f32x4.splat(most), f = f32x4.splat(scale);
  let sums = f32x4.splat(0), p = x;
  for (; p + 16 <= end; p += 16) {
    const e = exp4(f32x4.mul(f32x4.sub(v128.load(p), m), f));
    sums = f32x4.add(sums, e);
    v128.store(p, e);
  }
  let sum = hsum(sums);
  for (; p < end; p += 4) {
    const e = exp1((load<f32>(p) - most) * scale);
    sum += e;
    store<f32>(p, e);
  }
  const r: f32 = 1 / sum;
  for (p = x; p + 16 <= end; p += 16) v128.store(p, f32x4.mul(v128.load(p), f32x4.splat(r)));
  for (; p < end; p += 4) store<f32>(p, load<f32>(p) * r);
  return most * scale + Mathf.log(sum);
}
