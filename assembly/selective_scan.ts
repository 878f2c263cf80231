// h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t x_t,  y_t = (C_t·h_t + D x_t)·SiLU(z_t),  Δ = softplus(dt), A = -exp(A_log).
// Four channels at a time share softplus, SiLU and the loads of x, dt and z; their A is made once for all sequences, and
// their h stays in the first-level cache while l is walked. Vectors run along n. Positions are taken BLOCK at a time, all
// sequences in a row, so that the latencies of softplus and SiLU overlap. A sequence does its steps' arithmetic.
import { decay1, decay4, exp1, exp4, hsum, silu1, silu4, softplus1, softplus4 } from './lib/math';

/** Positions (of four channels) of a block; also in src/ops/selective_scan.ts, for the scratch that holds their Δ, Δx and C·h. */
const BLOCK: i32 = 16;

/** A is kept times this, for powers of 2. */
const LOG2E: f32 = 1.44269504;

export function selective_scan_forward(
  x: usize, dt: usize, A_log: usize, bc: usize, D: usize, z: usize, state: usize, y: usize,
  m: i32, l: i32, e: i32, n: i32, s: i32, f: i32, scratch: usize,
): void {
  const row = (<usize>n) << 2;
  const eRow = (<usize>e) << 2, sRow = (<usize>s) << 2, fRow = (<usize>f) << 2;
  const A = scratch;
  const own = A + 4 * row;
  const delta = own + 4 * row;
  const deltaX = delta + 16 * BLOCK;
  const sums = deltaX + 16 * BLOCK;
  for (let j = 0; j < e; j += 4) {
    const w = <usize>min(4, e - j) << 2;
    const size = (w >> 2) * row;
    const jAt = (<usize>j) << 2;
    const Aj = A_log + <usize>j * row;
    let q: usize = 0;
    for (; q + 16 <= size; q += 16) v128.store(A + q, f32x4.mul(exp4(v128.load(Aj + q)), f32x4.splat(-LOG2E)));
    for (; q < size; q += 4) store<f32>(A + q, exp1(load<f32>(Aj + q)) * -LOG2E);
    // The position within the sequence, and its h.
    let t = 0;
    let h = state ? state + <usize>j * row : own;
    for (let r0 = 0; r0 < m * l; r0 += BLOCK) {
      const rows = min(BLOCK, m * l - r0);
      let at = <usize>r0 * eRow + jAt;
      for (let r = 0; r < rows; r++, at += eRow) {
        const to = <usize>r << 4;
        if (w == 16) {
          const d = softplus4(v128.load(dt + at));
          v128.store(delta + to, d);
          v128.store(deltaX + to, f32x4.mul(d, v128.load(x + at)));
        } else {
          for (let q: usize = 0; q < w; q += 4) {
            const d = softplus1(load<f32>(dt + at + q));
            store<f32>(delta + to + q, d);
            store<f32>(deltaX + to + q, d * load<f32>(x + at + q));
          }
        }
      }
      let C = bc + <usize>(r0 + 1) * sRow - row;
      for (let r = 0; r < rows; r++, C += sRow) {
        if (t == 0 && !state) memory.fill(own, 0, size);
        for (let q: usize = 0, hq = h, Aq = A, from = <usize>r << 4; q < w; q += 4, hq += row, Aq += row, from += 4) {
          store<f32>(sums + from, update(hq, Aq, C - row, C, row, load<f32>(delta + from), load<f32>(deltaX + from)));
        }
        if (++t == l) {
          t = 0;
          if (state) h += <usize>e * row;
        }
      }
      at = <usize>r0 * eRow + jAt;
      let zt = z + <usize>(r0 + 1) * fRow - eRow + jAt;
      for (let r = 0; r < rows; r++, at += eRow, zt += fRow) {
        const from = sums + (<usize>r << 4);
        if (w == 16) {
          const sum = f32x4.add(v128.load(from), f32x4.mul(v128.load(D + jAt), v128.load(x + at)));
          v128.store(y + at, f32x4.mul(sum, silu4(v128.load(zt))));
        } else {
          for (let q: usize = 0; q < w; q += 4) {
            const sum = load<f32>(from + q) + load<f32>(D + jAt + q) * load<f32>(x + at + q);
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
    const e0 = decay4(f32x4.mul(d, v128.load(A + q)));
    const e1 = decay4(f32x4.mul(d, v128.load(A + q, 16)));
    const h0 = f32x4.add(f32x4.mul(e0, v128.load(h + q)), f32x4.mul(dx, v128.load(B + q)));
    const h1 = f32x4.add(f32x4.mul(e1, v128.load(h + q, 16)), f32x4.mul(dx, v128.load(B + q, 16)));
    v128.store(h + q, h0);
    v128.store(h + q, h1, 16);
    a0 = f32x4.add(a0, f32x4.mul(h0, v128.load(C + q)));
    a1 = f32x4.add(a1, f32x4.mul(h1, v128.load(C + q, 16)));
  }
  let sum = hsum(f32x4.add(a0, a1));
  for (; q < row; q += 4) {
    const v = decay1(delta * load<f32>(A + q)) * load<f32>(h + q) + deltaX * load<f32>(B + q);
    store<f32>(h + q, v);
    sum += v * load<f32>(C + q);
  }
  return sum;
}
