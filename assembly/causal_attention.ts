// @further
// y[i] = Σⱼ softmaxⱼ(q[i]·k[j]·scale)·v[j] over positions j ≤ i. Threads divide the heads.
import { softmax } from './attention';
import { dot, exp1 } from './lib/math';
import { begin } from './lib/split';

/** Bytes for the scores of one query. */
export function causal_attention_forward_scratch(
  _m: i32, l: i32, _n: i32, _c: i32, t: i32, _g: i32, _b: i32, _h: i32, _scale: f32,
): usize {
  return <usize>max(l, t) << 2;
}

export function causal_attention_forward(
  qkv: usize, keys: usize, values: usize, step: usize, y: usize, lse: usize,
  m: i32, l: i32, n: i32, c: i32, t: i32, _g: i32, b: i32, h: i32, scale: f32, scratch: usize, part: i32, parts: i32,
): void {
  const g = (n - h) / 2, head = <usize>c << 2;
  const row = <usize>n * head, stored = <usize>g * head;
  const last = begin(m * h, 1, part + 1, parts);
  for (let unit = begin(m * h, 1, part, parts); unit < last; unit++) {
    const i = unit / h, e = unit % h, served = e * g / h;
    const past = step ? <i32>min(load<u32>(step + (<usize>(i % b) << 2)), <u32>(t - l)) : 0;
    const own = qkv + <usize>i * <usize>l * row;
    let key = own + <usize>(h + served) * head, value = key + stored, stride = row;
    if (keys) {
      // Heads that share keys and values store the same, each before it reads them.
      const before = (<usize>i * <usize>t * <usize>g + <usize>served) * head, first = before + <usize>past * stored;
      for (let a = 0; a < l; a++) {
        memory.copy(keys + first + <usize>a * stored, key + <usize>a * row, head);
        memory.copy(values + first + <usize>a * stored, value + <usize>a * row, head);
      }
      key = keys + before;
      value = values + before;
      stride = stored;
    }
    for (let a = 0; a < l; a++) {
      const query = own + <usize>a * row + <usize>e * head, seen = past + a + 1;
      for (let j = 0; j < seen; j++) store<f32>(scratch + (<usize>j << 2), dot(query, key + <usize>j * stride, c));
      const total = softmax(scratch, seen, scale);
      if (lse) store<f32>(lse + (<usize>(unit * l + a) << 2), total);
      mix(y + <usize>((i * l + a) * h + e) * head, scratch, value, stride, seen, head);
    }
  }
}

/** y = Σⱼ p[j]·x[j] over n rows of `bytes` bytes, which are `stride` bytes apart. */
function mix(y: usize, p: usize, x: usize, stride: usize, n: i32, bytes: usize): void {
  let q: usize = 0;
  for (; q + 16 <= bytes; q += 16) {
    let sum = f32x4.splat(0), at = x + q;
    for (let j = 0; j < n; j++, at += stride) sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(p + (<usize>j << 2)), v128.load(at)));
    v128.store(y + q, sum);
  }
  for (; q < bytes; q += 4) {
    let sum: f32 = 0, at = x + q;
    for (let j = 0; j < n; j++, at += stride) sum += load<f32>(p + (<usize>j << 2)) * load<f32>(at);
    store<f32>(y + q, sum);
  }
}

/** y += f·x over `bytes` bytes. */
function addTimes(y: usize, f: f32, x: usize, bytes: usize): void {
  const factor = f32x4.splat(f);
  let q: usize = 0;
  for (; q + 16 <= bytes; q += 16) v128.store(y + q, f32x4.add(v128.load(y + q), f32x4.mul(factor, v128.load(x + q))));
  for (; q < bytes; q += 4) store<f32>(y + q, load<f32>(y + q) + f * load<f32>(x + q));
}

// With s = q·k·scale, p = exp(s - lse):
// forward: y[a] = Σⱼ pₐⱼ·v[j]  ⇒  dv[j] = Σₐ pₐⱼ·dy[a], dpₐⱼ = dy[a]·v[j], dsₐⱼ = pₐⱼ·(dpₐⱼ - dy[a]·y[a])
// forward: s = q·k·scale  ⇒  dq[a] = Σⱼ dsₐⱼ·k[j]·scale, dk[j] = Σₐ dsₐⱼ·q[a]·scale
// Threads divide the heads of keys.
export function causal_attention_backward(
  qkv: usize, y: usize, lse: usize, dy: usize, dqkv: usize,
  m: i32, l: i32, n: i32, c: i32, h: i32, scale: f32, part: i32, parts: i32,
): void {
  const g = (n - h) / 2, group = h / g, head = <usize>c << 2;
  const row = <usize>n * head, value = <usize>g * head;
  const last = begin(m * g, 1, part + 1, parts);
  for (let unit = begin(m * g, 1, part, parts); unit < last; unit++) {
    const i = unit / g, served = unit % g;
    const base = <usize>i * <usize>l * row, first = base + <usize>(h + served) * head;
    for (let j = 0; j < l; j++) {
      const key = dqkv + first + <usize>j * row;
      memory.fill(key, 0, head);
      memory.fill(key + value, 0, head);
    }
    for (let e = served * group; e < (served + 1) * group; e++) {
      for (let a = 0; a < l; a++) {
        const query = base + <usize>a * row + <usize>e * head, out = <usize>((i * l + a) * h + e) * head;
        const along = dot(dy + out, y + out, c), total = load<f32>(lse + (<usize>((i * h + e) * l + a) << 2));
        memory.fill(dqkv + query, 0, head);
        for (let j = 0; j <= a; j++) {
          const key = first + <usize>j * row;
          const p = exp1(dot(qkv + query, qkv + key, c) * scale - total);
          const ds = p * (dot(dy + out, qkv + key + value, c) - along) * scale;
          addTimes(dqkv + query, ds, qkv + key, head);
          addTimes(dqkv + key, ds, qkv + query, head);
          addTimes(dqkv + key + value, p, dy + out, head);
        }
      }
    }
  }
}
