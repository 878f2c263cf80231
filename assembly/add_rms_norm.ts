// sum = res + gate·x;  u = sum / √(mean(sum²) + eps) · weight;  y = u·(1 + scale) + shift.
import { hsum } from './lib/math';

export function add_rms_norm_forward(
  x: usize, res: usize, gate: usize, weight: usize, modulation: usize, sum: usize, y: usize,
  m: i32, l: i32, d: i32, g: i32, c: i32, eps: f32,
): void {
  const row = (<usize>d) << 2;
  for (let i = 0; i < m; i++) {
    const gi = gate + (<usize>i * <usize>g + 2) * row;
    const shift = modulation + <usize>i * <usize>c * row;
    for (let j = 0; j < l; j++) {
      // Without a place for the sum, y holds it until it is overwritten.
      const s = sum ? sum : y;
      const squares = gate
        ? res ? add(x, res, gi, s, row, true, true) : add(x, res, gi, s, row, false, true)
        : res ? add(x, res, gi, s, row, true, false) : add(x, res, gi, s, row, false, false);
      const r: f32 = 1 / sqrt<f32>(squares / <f32>d + eps);
      if (modulation) scaleRow(s, weight, shift, y, row, r, true);
      else scaleRow(s, weight, shift, y, row, r, false);
      x += row;
      y += row;
      if (res) res += row;
      if (sum) sum += row;
    }
  }
}

// s = res + gate·x; returns Σ s². The flags are constants at each call, so each call is its own loop.
// @ts-ignore: decorator
@inline function add(x: usize, res: usize, gate: usize, s: usize, row: usize, hasRes: bool, hasGate: bool): f32 {
  let a0 = f32x4.splat(0), a1 = a0;
  let q: usize = 0;
  for (; q + 32 <= row; q += 32) {
    let u = v128.load(x + q), v = v128.load(x + q, 16);
    if (hasGate) {
      u = f32x4.mul(u, v128.load(gate + q));
      v = f32x4.mul(v, v128.load(gate + q, 16));
    }
    if (hasRes) {
      u = f32x4.add(u, v128.load(res + q));
      v = f32x4.add(v, v128.load(res + q, 16));
    }
    v128.store(s + q, u);
    v128.store(s + q, v, 16);
    a0 = f32x4.add(a0, f32x4.mul(u, u));
    a1 = f32x4.add(a1, f32x4.mul(v, v));
  }
  let total = hsum(f32x4.add(a0, a1));
  for (; q < row; q += 4) {
    let u = load<f32>(x + q);
    if (hasGate) u *= load<f32>(gate + q);
    if (hasRes) u += load<f32>(res + q);
    store<f32>(s + q, u);
    total += u * u;
  }
  return total;
}

// @ts-ignore: decorator
@inline function scaleRow(s: usize, weight: usize, shift: usize, y: usize, row: usize, r: f32, hasMod: bool): void {
  const scale = shift + row;
  const rv = f32x4.splat(r), one = f32x4.splat(1);
  let q: usize = 0;
  for (; q + 16 <= row; q += 16) {
    let u = f32x4.mul(f32x4.mul(v128.load(s + q), rv), v128.load(weight + q));
    if (hasMod) u = f32x4.add(f32x4.mul(u, f32x4.add(one, v128.load(scale + q))), v128.load(shift + q));
    v128.store(y + q, u);
  }
  for (; q < row; q += 4) {
    let u = load<f32>(s + q) * r * load<f32>(weight + q);
    if (hasMod) u = u * (1 + load<f32>(scale + q)) + load<f32>(shift + q);
    store<f32>(y + q, u);
  }
}
