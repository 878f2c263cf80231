// h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t x_t,  y_t = (C_t·h_t + D x_t)·SiLU(z_t),  Δ = softplus(dt), A = -exp(A_log).
// Four channels at a time share softplus, SiLU and the loads of x, dt and z; their A is made once for all sequences, and
// their h stays in the first-level cache while l is walked. Vectors run along n. A sequence does its steps' arithmetic.
import { exp1, exp4, hsum, silu1, silu4, softplus1, softplus4 } from './lib/math';

export function selective_scan_forward(
  x: usize, dt: usize, A_log: usize, bc: usize, D: usize, z: usize, state: usize, y: usize,
  m: i32, l: i32, e: i32, n: i32, s: i32, f: i32, scratch: usize,
): void {
  const row = (<usize>n) << 2;
  const A = scratch;
  const own = A + 4 * row;
  const delta = own + 4 * row;
  const deltaX = delta + 16;
  const sums = delta + 32;
  for (let j = 0; j < e; j += 4) {
    const w = min(4, e - j);
    const size = <usize>w * row;
    const Aj = A_log + <usize>j * row;
    let q: usize = 0;
    for (; q + 16 <= size; q += 16) v128.store(A + q, f32x4.neg(exp4(v128.load(Aj + q))));
    for (; q < size; q += 4) store<f32>(A + q, -exp1(load<f32>(Aj + q)));
    const Dj = D + (<usize>j << 2);
    for (let i = 0; i < m; i++) {
      let h = own;
      if (state) h = state + (<usize>i * <usize>e + <usize>j) * row;
      else memory.fill(own, 0, size);
      for (let t = 0; t < l; t++) {
        const r = <usize>i * <usize>l + <usize>t;
        const at = (r * <usize>e + <usize>j) << 2;
        const zt = z + ((r * <usize>f + <usize>(f - e + j)) << 2);
        const C = bc + (((r + 1) * <usize>s) << 2) - row;
        if (w == 4) {
          const d = softplus4(v128.load(dt + at));
          v128.store(delta, d);
          v128.store(deltaX, f32x4.mul(d, v128.load(x + at)));
        } else {
          for (let q: usize = 0; q < <usize>w << 2; q += 4) {
            const d = softplus1(load<f32>(dt + at + q));
            store<f32>(delta + q, d);
            store<f32>(deltaX + q, d * load<f32>(x + at + q));
          }
        }
        for (let q: usize = 0, o: usize = 0; q < <usize>w << 2; q += 4, o += row) {
          store<f32>(sums + q, update(h + o, A + o, C - row, C, row, load<f32>(delta + q), load<f32>(deltaX + q)));
        }
        if (w == 4) {
          const sum = f32x4.add(v128.load(sums), f32x4.mul(v128.load(Dj), v128.load(x + at)));
          v128.store(y + at, f32x4.mul(sum, silu4(v128.load(zt))));
        } else {
          for (let q: usize = 0; q < <usize>w << 2; q += 4) {
            const sum = load<f32>(sums + q) + load<f32>(Dj + q) * load<f32>(x + at + q);
            store<f32>(y + at + q, sum * silu1(load<f32>(zt + q)));
          }
        }
      }
    }
  }
}

// h = exp(Δ A) h + Δx B for one channel; returns C·h.
// @ts-ignore: decorator
@inline function update(h: usize, A: usize, B: usize, C: usize, row: usize, delta: f32, deltaX: f32): f32 {
  const d = f32x4.splat(delta), dx = f32x4.splat(deltaX);
  let a0 = f32x4.splat(0), a1 = a0;
  let q: usize = 0;
  // Two at a time: the polynomial's constants are loaded once for both and its latency overlaps.
  for (; q + 32 <= row; q += 32) {
    const e0 = exp4(f32x4.mul(d, v128.load(A + q)));
    const e1 = exp4(f32x4.mul(d, v128.load(A + q, 16)));
    const h0 = f32x4.add(f32x4.mul(e0, v128.load(h + q)), f32x4.mul(dx, v128.load(B + q)));
    const h1 = f32x4.add(f32x4.mul(e1, v128.load(h + q, 16)), f32x4.mul(dx, v128.load(B + q, 16)));
    v128.store(h + q, h0);
    v128.store(h + q, h1, 16);
    a0 = f32x4.add(a0, f32x4.mul(h0, v128.load(C + q)));
    a1 = f32x4.add(a1, f32x4.mul(h1, v128.load(C + q, 16)));
  }
  let sum = hsum(f32x4.add(a0, a1));
  for (; q < row; q += 4) {
    const v = exp1(delta * load<f32>(A + q)) * load<f32>(h + q) + deltaX * load<f32>(B + q);
    store<f32>(h + q, v);
    sum += v * load<f32>(C + q);
  }
  return sum;
}
