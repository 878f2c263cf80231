// y[i] = Σⱼ softmaxⱼ(q[i]·k[j]·c^-½)·v[j]: two products, with k and v packed once a sequence and blocks of queries between.
import { exp1, exp4, hsum } from './lib/math';
import { gemmPacked, packAll, packAllTurned, packedBytes } from './linear';

/** Queries of a block; src/ops/attention.ts sizes the scratch area for it. */
const QUERIES: i32 = 32;

export function attention_forward(q: usize, k: usize, v: usize, y: usize, b: i32, s: i32, c: i32, scratch: usize): void {
  const sequence = (<usize>s * <usize>c) << 2;
  const values = scratch + packedBytes(c, s);
  const scores = values + packedBytes(s, c);
  const scale = <f32>(1 / sqrt<f64>(c));
  for (let n = 0; n < b; n++) {
    packAll(k, c, s, scratch);
    packAllTurned(v, s, c, values);
    for (let i = 0; i < s; i += QUERIES) {
      const rows = min(QUERIES, s - i), at = (<usize>i * <usize>c) << 2;
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

/** softmax(x·scale), in place. */
export function softmax(x: usize, n: i32, scale: f32): void {
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
}
