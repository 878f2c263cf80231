// @train
// loss[r] = lse[r] - logits[r,targets[r]],  lse = log Σ exp(logits)
import { exp1, exp4, hsum } from './lib/math';
import { begin } from './lib/split';

export function cross_entropy_forward(logits: usize, targets: usize, loss: usize, lse: usize, r: i32, v: i32, part: i32, parts: i32): void {
  const row = (<usize>v) << 2;
  const first = begin(r, 1, part, parts), last = begin(r, 1, part + 1, parts);
  logits += <usize>first * row;
  for (let i = first; i < last; i++, logits += row) {
    // pmax is a single instruction and max is several. pmax may drop a NaN, but the NaN still reaches the sum below.
    let m0 = f32x4.splat(-f32.MAX_VALUE), m1 = m0;
    let q: usize = 0;
    for (; q + 32 <= row; q += 32) {
      m0 = f32x4.pmax(m0, v128.load(logits + q));
      m1 = f32x4.pmax(m1, v128.load(logits + q, 16));
    }
    m0 = f32x4.pmax(m0, m1);
    let most = max<f32>(
      max<f32>(f32x4.extract_lane(m0, 0), f32x4.extract_lane(m0, 1)),
      max<f32>(f32x4.extract_lane(m0, 2), f32x4.extract_lane(m0, 3)),
    );
    for (; q < row; q += 4) most = max<f32>(most, load<f32>(logits + q));
    const mv = f32x4.splat(most);
    let a0 = f32x4.splat(0), a1 = a0;
    for (q = 0; q + 32 <= row; q += 32) {
      a0 = f32x4.add(a0, exp4(f32x4.sub(v128.load(logits + q), mv)));
      a1 = f32x4.add(a1, exp4(f32x4.sub(v128.load(logits + q, 16), mv)));
    }
    let sum = hsum(f32x4.add(a0, a1));
    for (; q < row; q += 4) sum += exp1(load<f32>(logits + q) - most);
    const log = Mathf.log(sum);
    const at = (<usize>i) << 2;
    store<f32>(lse + at, most + log);
    store<f32>(loss + at, most - load<f32>(logits + targetAt(targets + at, v)) + log);
  }
}

export function cross_entropy_backward(
  logits: usize, targets: usize, lse: usize, loss_scale: usize, dlogits: usize,
  r: i32, v: i32, scale: f32, part: i32, parts: i32,
): void {
  if (loss_scale) scale *= load<f32>(loss_scale);
  const row = (<usize>v) << 2;
  const sv = f32x4.splat(scale);
  const first = begin(r, 1, part, parts), last = begin(r, 1, part + 1, parts);
  logits += <usize>first * row;
  dlogits += <usize>first * row;
  for (let i = first; i < last; i++, logits += row, dlogits += row) {
    // forward: loss = log Σ exp(logits) - logits[target]  ⇒  dlogits = (softmax(logits) - onehot(target))·scale
    const l = load<f32>(lse + (<usize>i << 2));
    const lv = f32x4.splat(l);
    let q: usize = 0;
    for (; q + 16 <= row; q += 16) v128.store(dlogits + q, f32x4.mul(exp4(f32x4.sub(v128.load(logits + q), lv)), sv));
    for (; q < row; q += 4) store<f32>(dlogits + q, exp1(load<f32>(logits + q) - l) * scale);
    const hit = targetAt(targets + (<usize>i << 2), v);
    store<f32>(dlogits + hit, (exp1(load<f32>(logits + hit) - l) - 1) * scale);
  }
}

// Returns the byte offset of a row's target within the row.
// @ts-ignore: decorator
@inline function targetAt(target: usize, v: i32): usize {
  return <usize>min<u32>(load<u32>(target), <u32>v - 1) << 2;
}
