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
      // If the caller passes no buffer for the sum, y holds the sum until it is overwritten.
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

// Computes s = res + gate·x and returns Σ s². The flags are constants at each call, so the compiler makes a separate loop for
// each call.
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

export function add_rms_norm_backward(
  sum: usize, weight: usize, modulation: usize, dy: usize, dsum: usize, dres: usize, rows: usize,
  m: i32, l: i32, d: i32, c: i32, w: i32, eps: f32,
): void {
  const row = (<usize>d) << 2;
  const span = (l + w - 1) / w;
  memory.fill(rows, 0, <usize>m * <usize>w * row * 2);
  for (let i = 0; i < m; i++) {
    const scale = modulation + (<usize>i * <usize>c + 1) * row;
    for (let j = 0; j < l; j++) {
      const to = rows + <usize>(i * w + j / span) * row * 2;
      // dres holds dn until its final value is written.
      let squares = f32x4.splat(0), inner = squares;
      let q: usize = 0;
      for (; q + 16 <= row; q += 16) {
        // forward: n = sum·r, y = n·weight·(1 + scale) + shift  ⇒  dn = dy·weight·(1 + scale)
        const s = v128.load(sum + q);
        let dn = f32x4.mul(v128.load(dy + q), v128.load(weight + q));
        if (modulation) dn = f32x4.mul(dn, f32x4.add(f32x4.splat(1), v128.load(scale + q)));
        v128.store(dres + q, dn);
        squares = f32x4.add(squares, f32x4.mul(s, s));
        inner = f32x4.add(inner, f32x4.mul(dn, s));
      }
      let ss = hsum(squares), ns = hsum(inner);
      for (; q < row; q += 4) {
        const s = load<f32>(sum + q);
        let dn = load<f32>(dy + q) * load<f32>(weight + q);
        if (modulation) dn *= 1 + load<f32>(scale + q);
        store<f32>(dres + q, dn);
        ss += s * s;
        ns += dn * s;
      }
      // forward: r = (Σ sum²/d + eps)^-½  ⇒  dsum += dn·r - sum·r³·Σ(dn·sum)/d
      const r: f32 = 1 / sqrt<f32>(ss / <f32>d + eps);
      const k: f32 = r * (ns / <f32>d);
      const rv = f32x4.splat(r), kv = f32x4.splat(k);
      for (q = 0; q + 16 <= row; q += 16) {
        const n = f32x4.mul(v128.load(sum + q), rv);
        const g = v128.load(dy + q);
        let ds = f32x4.mul(rv, f32x4.sub(v128.load(dres + q), f32x4.mul(n, kv)));
        if (dsum) ds = f32x4.add(ds, v128.load(dsum + q));
        v128.store(dres + q, ds);
        v128.store(to + q, f32x4.add(v128.load(to + q), g));
        v128.store(to + row + q, f32x4.add(v128.load(to + row + q), f32x4.mul(g, n)));
      }
      for (; q < row; q += 4) {
        const n = load<f32>(sum + q) * r;
        const g = load<f32>(dy + q);
        let ds = r * (load<f32>(dres + q) - n * k);
        if (dsum) ds += load<f32>(dsum + q);
        store<f32>(dres + q, ds);
        store<f32>(to + q, load<f32>(to + q) + g);
        store<f32>(to + row + q, load<f32>(to + row + q) + g * n);
      }
      sum += row;
      dy += row;
      dres += row;
      if (dsum) dsum += row;
    }
  }
}

export function add_rms_norm_backward_params(
  rows: usize, weight: usize, modulation: usize, dmodulation: usize, dweight_rows: usize,
  m: i32, w: i32, d: i32, c: i32,
): void {
  const row = (<usize>d) << 2;
  for (let i = 0; i < m; i++, rows += <usize>w * row * 2, dweight_rows += row) {
    const shift = <usize>i * <usize>c * row;
    let q: usize = 0;
    for (; q + 16 <= row; q += 16) {
      let dy = f32x4.splat(0), dyn = dy;
      for (let p = 0, at = rows + q; p < w; p++, at += row * 2) {
        dy = f32x4.add(dy, v128.load(at));
        dyn = f32x4.add(dyn, v128.load(at + row));
      }
      // forward: y = n·weight·(1 + scale) + shift  ⇒  dshift += Σ dy, dscale += Σ dy·n·weight, dweight += Σ dy·n·(1 + scale)
      if (dmodulation) {
        const to = dmodulation + shift + q;
        v128.store(to, f32x4.add(v128.load(to), dy));
        v128.store(to + row, f32x4.add(v128.load(to + row), f32x4.mul(dyn, v128.load(weight + q))));
      }
      if (modulation) dyn = f32x4.mul(dyn, f32x4.add(f32x4.splat(1), v128.load(modulation + shift + row + q)));
      v128.store(dweight_rows + q, dyn);
    }
    for (; q < row; q += 4) {
      let dy: f32 = 0, dyn: f32 = 0;
      for (let p = 0, at = rows + q; p < w; p++, at += row * 2) {
        dy += load<f32>(at);
        dyn += load<f32>(at + row);
      }
      if (dmodulation) {
        const to = dmodulation + shift + q;
        store<f32>(to, load<f32>(to) + dy);
        store<f32>(to + row, load<f32>(to + row) + dyn * load<f32>(weight + q));
      }
      if (modulation) dyn *= 1 + load<f32>(modulation + shift + row + q);
      store<f32>(dweight_rows + q, dyn);
    }
  }
}

export function add_rms_norm_backward_gate(
  x: usize, gate: usize, dres: usize, dx: usize, dgate: usize,
  m: i32, l: i32, d: i32,
): void {
  const row = (<usize>d) << 2;
  for (let i = 0; i < m; i++) {
    const at = (<usize>i * 3 + 2) * row;
    const g = gate + at, dg = dgate + at;
    for (let j = 0; j < l; j++, x += row, dres += row, dx += row) {
      // forward: sum = res + gate·x  ⇒  dx = dsum·gate, dgate += Σ dsum·x
      let q: usize = 0;
      for (; q + 16 <= row; q += 16) {
        const ds = v128.load(dres + q);
        v128.store(dx + q, f32x4.mul(ds, v128.load(g + q)));
        v128.store(dg + q, f32x4.add(v128.load(dg + q), f32x4.mul(ds, v128.load(x + q))));
      }
      for (; q < row; q += 4) {
        const ds = load<f32>(dres + q);
        store<f32>(dx + q, ds * load<f32>(g + q));
        store<f32>(dg + q, load<f32>(dg + q) + ds * load<f32>(x + q));
      }
    }
  }
}
