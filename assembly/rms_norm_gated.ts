// v = x·SiLU(z);  y = v / √(mean(v²) + eps) · weight. The mean is over e/groups channels.
import { hsum, sigmoid4, silu1, silu4, siluSlope4 } from './lib/math';
import { begin } from './lib/split';

export function rms_norm_gated_forward(
  x: usize, z: usize, weight: usize, y: usize,
  m: i32, l: i32, e: i32, s: i32, groups: i32, z_offset: i32, eps: f32, part: i32, parts: i32,
): void {
  const width = e / groups;
  const bytes = (<usize>width) << 2;
  const zRow = (<usize>s) << 2;
  const first = begin(m * l, 1, part, parts), last = begin(m * l, 1, part + 1, parts);
  x += (<usize>first * <usize>e) << 2;
  y += (<usize>first * <usize>e) << 2;
  z += ((<usize>z_offset) << 2) + <usize>first * zRow;
  for (let row = first; row < last; row++, z += zRow) {
    for (let g = 0; g < groups; g++, x += bytes, y += bytes) {
      const zg = z + <usize>g * bytes;
      const wg = weight + <usize>g * bytes;
      // y holds v until it is scaled.
      let a = f32x4.splat(0);
      let q: usize = 0;
      for (; q + 16 <= bytes; q += 16) {
        const v = f32x4.mul(v128.load(x + q), silu4(v128.load(zg + q)));
        v128.store(y + q, v);
        a = f32x4.add(a, f32x4.mul(v, v));
      }
      let squares = hsum(a);
      for (; q < bytes; q += 4) {
        const v = load<f32>(x + q) * silu1(load<f32>(zg + q));
        store<f32>(y + q, v);
        squares += v * v;
      }
      const r: f32 = 1 / sqrt<f32>(squares / <f32>width + eps);
      const rv = f32x4.splat(r);
      for (q = 0; q + 16 <= bytes; q += 16) v128.store(y + q, f32x4.mul(f32x4.mul(v128.load(y + q), rv), v128.load(wg + q)));
      for (; q < bytes; q += 4) store<f32>(y + q, load<f32>(y + q) * r * load<f32>(wg + q));
    }
  }
}

export function rms_norm_gated_backward(
  x: usize, z: usize, weight: usize, dy: usize, dx: usize, dz: usize, dweight_rows: usize,
  m: i32, l: i32, e: i32, s: i32, w: i32, groups: i32, z_offset: i32, eps: f32, part: i32, parts: i32,
): void {
  const width = e / groups;
  const bytes = (<usize>width) << 2;
  const tail = bytes & ~15;
  const zRow = (<usize>s) << 2;
  const span = (m * l + w - 1) / w;
  // Threads divide the rows of dweight_rows.
  const firstSum = begin(w, 1, part, parts), lastSum = begin(w, 1, part + 1, parts);
  const first = min(firstSum * span, m * l), last = min(lastSum * span, m * l);
  const at = (<usize>first * <usize>e) << 2, zAt = ((<usize>z_offset) << 2) + <usize>first * zRow;
  x += at;
  dy += at;
  dx += at;
  z += zAt;
  dz += zAt;
  memory.fill(dweight_rows + ((<usize>firstSum * <usize>e) << 2), 0, (<usize>(lastSum - firstSum) * <usize>e) << 2);
  for (let row = first; row < last; row++, z += zRow, dz += zRow) {
    const to = dweight_rows + ((<usize>(row / span) * <usize>e) << 2);
    for (let g = 0; g < groups; g++, x += bytes, dy += bytes, dx += bytes) {
      const at = <usize>g * bytes;
      // dx holds SiLU(z) and dz holds SiLU'(z) until their final values are written.
      let squares = f32x4.splat(0), inner = squares;
      let q: usize = 0;
      for (; q < tail; q += 16) {
        const zi = v128.load(z + at + q);
        const sigma = sigmoid4(zi);
        const gate = f32x4.mul(zi, sigma);
        v128.store(dx + q, gate);
        v128.store(dz + at + q, siluSlope4(zi, sigma));
        const v = f32x4.mul(v128.load(x + q), gate);
        squares = f32x4.add(squares, f32x4.mul(v, v));
        inner = f32x4.add(inner, f32x4.mul(f32x4.mul(v128.load(dy + q), v128.load(weight + at + q)), v));
      }
      let ss = hsum(squares), ns = hsum(inner);
      for (; q < bytes; q += 4) {
        const zi = v128.load32_splat(z + at + q);
        const sigma = sigmoid4(zi);
        const gate = f32x4.extract_lane(f32x4.mul(zi, sigma), 0);
        store<f32>(dx + q, gate);
        store<f32>(dz + at + q, f32x4.extract_lane(siluSlope4(zi, sigma), 0));
        const v = load<f32>(x + q) * gate;
        ss += v * v;
        ns += load<f32>(dy + q) * load<f32>(weight + at + q) * v;
      }
      const r: f32 = 1 / sqrt<f32>(ss / <f32>width + eps);
      const k: f32 = r * (ns / <f32>width);
      const rv = f32x4.splat(r), kv = f32x4.splat(k);
      for (q = 0; q < tail; q += 16) {
        const xv = v128.load(x + q), gate = v128.load(dx + q), dn = v128.load(dy + q);
        const n = f32x4.mul(f32x4.mul(xv, gate), rv);
        // forward: y = v·r·weight, r = (Σ v²/width + eps)^-½  ⇒  dv = dy·weight·r - v·r³·Σ(dy·weight·v)/width
        const dv = f32x4.mul(rv, f32x4.sub(f32x4.mul(dn, v128.load(weight + at + q)), f32x4.mul(n, kv)));
        // forward: v = x·SiLU(z)  ⇒  dx = dv·SiLU(z), dz = dv·x·SiLU'(z)
        v128.store(dx + q, f32x4.mul(dv, gate));
        v128.store(dz + at + q, f32x4.mul(f32x4.mul(dv, xv), v128.load(dz + at + q)));
        // forward: y = v·r·weight  ⇒  dweight += Σ dy·v·r
        v128.store(to + at + q, f32x4.add(v128.load(to + at + q), f32x4.mul(dn, n)));
      }
      for (; q < bytes; q += 4) {
        const xv = load<f32>(x + q), gate = load<f32>(dx + q), dn = load<f32>(dy + q);
        const n = xv * gate * r;
        const dv = r * (dn * load<f32>(weight + at + q) - n * k);
        store<f32>(dx + q, dv * gate);
        store<f32>(dz + at + q, dv * xv * load<f32>(dz + at + q));
        store<f32>(to + at + q, load<f32>(to + at + q) + dn * n);
      }
    }
  }
}
