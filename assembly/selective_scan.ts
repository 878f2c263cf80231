// h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t x_t,  y_t = (C_t·h_t + D x_t)·SiLU(z_t),  Δ = softplus(dt), A = -exp(A_log).
// Four channels at a time share softplus, SiLU and the loads of x, dt and z. Their A is computed once for all sequences, and
// their h stays in the first-level cache over all positions l. Vectors run along n. Positions are processed in blocks of BLOCK
// over all sequences, so that the latencies of softplus and SiLU overlap. A whole sequence uses the same arithmetic as single
// steps. Threads divide the channels; in backward they divide the blocks of channels of all sequences.
import { decay1, decay4, exp1, exp4, hsum, sigmoid1, sigmoid4, silu1, silu4, softplus1, softplus4 } from './lib/math';
import { begin } from './lib/split';
import { SCAN_CHUNK, scanBlock } from '../src/ops/shared';

/** Positions (of four channels) in a block. */
const BLOCK: i32 = 16;

/** Distance in positions between two stored states. */
const CHUNK: i32 = SCAN_CHUNK;

/** A is stored multiplied by LOG2E, since decays are computed as powers of 2. */
const LOG2E: f32 = 1.44269504;
const LN2: f32 = 0.693147181;

/** Bytes for A and h of four channels, then for their Δ, Δx and C·h at a block of positions. */
function walkBytes(n: i32): usize {
  return 8 * (<usize>n << 2) + 3 * 16 * BLOCK;
}

export function selective_scan_forward_scratch(_m: i32, _l: i32, _e: i32, n: i32, _s: i32, _f: i32): usize {
  return walkBytes(n);
}

export function selective_scan_forward(
  x: usize, dt: usize, A_log: usize, bc: usize, D: usize, z: usize, state: usize, y: usize,
  m: i32, l: i32, e: i32, n: i32, s: i32, f: i32, scratch: usize, part: i32, parts: i32,
): void {
  const row = (<usize>n) << 2;
  const eRow = (<usize>e) << 2, sRow = (<usize>s) << 2, fRow = (<usize>f) << 2;
  const A = scratch;
  const own = A + 4 * row;
  const delta = own + 4 * row;
  const deltaX = delta + 16 * BLOCK;
  const sums = deltaX + 16 * BLOCK;
  for (let j = begin(e, 4, part, parts), last = begin(e, 4, part + 1, parts); j < last; j += 4) {
    const w = <usize>min(4, e - j) << 2;
    const size = (w >> 2) * row;
    const jAt = (<usize>j) << 2;
    const Aj = A_log + <usize>j * row;
    decayRates(A, Aj, size);
    // `t` is the position within the sequence, and `h` points to its state.
    let t = 0;
    let h = state ? state + <usize>j * row : own;
    for (let r0 = 0; r0 < m * l; r0 += BLOCK) {
      const rows = min(BLOCK, m * l - r0);
      prepare(x, dt, <usize>r0 * eRow + jAt, eRow, rows, w, delta, deltaX);
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
      let at = <usize>r0 * eRow + jAt;
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

// Writes A = -exp(A_log)·log2(e) for `size` bytes.
// @ts-ignore: decorator
@inline function decayRates(A: usize, A_log: usize, size: usize): void {
  let q: usize = 0;
  for (; q + 16 <= size; q += 16) v128.store(A + q, f32x4.mul(exp4(v128.load(A_log + q)), f32x4.splat(-LOG2E)));
  for (; q < size; q += 4) store<f32>(A + q, exp1(load<f32>(A_log + q)) * -LOG2E);
}

// Computes Δ and Δx for `rows` positions of at most four channels (w bytes). Each position takes 16 bytes.
// @ts-ignore: decorator
@inline function prepare(x: usize, dt: usize, at: usize, stride: usize, rows: i32, w: usize, delta: usize, deltaX: usize): void {
  for (let r = 0; r < rows; r++, at += stride, delta += 16, deltaX += 16) {
    if (w == 16) {
      const d = softplus4(v128.load(dt + at));
      v128.store(delta, d);
      v128.store(deltaX, f32x4.mul(d, v128.load(x + at)));
    } else {
      for (let q: usize = 0; q < w; q += 4) {
        const d = softplus1(load<f32>(dt + at + q));
        store<f32>(delta + q, d);
        store<f32>(deltaX + q, d * load<f32>(x + at + q));
      }
    }
  }
}

// Computes h = exp(Δ A) h + Δx B for one channel and returns C·h.
// @ts-ignore: decorator
@inline function update(h: usize, A: usize, B: usize, C: usize, row: usize, delta: f32, deltaX: f32): f32 {
  const d = f32x4.splat(delta), dx = f32x4.splat(deltaX);
  let a0 = f32x4.splat(0), a1 = a0;
  let q: usize = 0;
  // Two vectors are processed at a time, so that the polynomial's constants are loaded once for both and latencies overlap.
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

export function selective_scan_backward_states_scratch(_m: i32, _l: i32, _e: i32, n: i32, _s: i32, _k: i32): usize {
  return walkBytes(n);
}

// Stores h at the start of every chunk, and scan = C·h. This is the forward computation without its gate.
export function selective_scan_backward_states(
  x: usize, dt: usize, A_log: usize, bc: usize, states: usize, scan: usize,
  m: i32, l: i32, e: i32, n: i32, s: i32, k: i32, scratch: usize, part: i32, parts: i32,
): void {
  const row = (<usize>n) << 2;
  const eRow = (<usize>e) << 2, sRow = (<usize>s) << 2;
  const A = scratch;
  const h = A + 4 * row;
  const delta = h + 4 * row;
  const deltaX = delta + 16 * BLOCK;
  for (let j = begin(e, 4, part, parts), last = begin(e, 4, part + 1, parts); j < last; j += 4) {
    const w = <usize>min(4, e - j) << 2;
    const size = (w >> 2) * row;
    decayRates(A, A_log + <usize>j * row, size);
    for (let i = 0; i < m; i++) {
      memory.fill(h, 0, size);
      for (let t0 = 0; t0 < l; t0 += BLOCK) {
        const rows = min(BLOCK, l - t0);
        const r0 = <usize>i * <usize>l + <usize>t0;
        let at = r0 * eRow + (<usize>j << 2);
        prepare(x, dt, at, eRow, rows, w, delta, deltaX);
        let C = bc + (r0 + 1) * sRow - row;
        for (let r = 0; r < rows; r++, C += sRow, at += eRow) {
          const t = t0 + r;
          if (t % CHUNK == 0) memory.copy(states + ((<usize>i * <usize>k + <usize>(t / CHUNK)) * <usize>e + <usize>j) * row, h, size);
          for (let q: usize = 0, hq = h, Aq = A, from = <usize>r << 4; q < w; q += 4, hq += row, Aq += row, from += 4) {
            store<f32>(scan + at + q, update(hq, Aq, C - row, C, row, load<f32>(delta + from), load<f32>(deltaX + from)));
          }
        }
      }
    }
  }
}

// forward: y = (scan + D x)·SiLU(z)  ⇒  dscan = dy·SiLU(z), dx = D·dscan, dD += x·dscan, dz = dy·(scan + D x)·SiLU'(z)
export function selective_scan_backward_gate(
  x: usize, D: usize, z: usize, dy: usize, scan: usize, dx: usize, dz: usize, skip: usize,
  m: i32, l: i32, e: i32, f: i32,
): void {
  const eRow = (<usize>e) << 2, fRow = (<usize>f) << 2;
  memory.fill(skip, 0, <usize>m * eRow);
  const one = f32x4.splat(1);
  for (let i = 0; i < m; i++, skip += eRow) {
    for (let t = 0; t < l; t++) {
      const r = <usize>i * <usize>l + <usize>t;
      const at = r * eRow, zAt = (r + 1) * fRow - eRow;
      let q: usize = 0;
      for (; q + 16 <= eRow; q += 16) {
        const zt = v128.load(z + zAt + q), g = v128.load(dy + at + q), xt = v128.load(x + at + q), Dq = v128.load(D + q);
        const s = sigmoid4(zt);
        const y = f32x4.add(v128.load(scan + at + q), f32x4.mul(Dq, xt));
        const slope = f32x4.mul(s, f32x4.add(one, f32x4.mul(zt, f32x4.sub(one, s))));
        const dscan = f32x4.mul(g, f32x4.mul(zt, s));
        v128.store(dz + zAt + q, f32x4.mul(f32x4.mul(g, y), slope));
        v128.store(scan + at + q, dscan);
        v128.store(dx + at + q, f32x4.mul(Dq, dscan));
        v128.store(skip + q, f32x4.add(v128.load(skip + q), f32x4.mul(xt, dscan)));
      }
      for (; q < eRow; q += 4) {
        const zt = load<f32>(z + zAt + q), g = load<f32>(dy + at + q), xt = load<f32>(x + at + q), Dq = load<f32>(D + q);
        const s = sigmoid1(zt);
        const dscan = g * (zt * s);
        store<f32>(dz + zAt + q, g * (load<f32>(scan + at + q) + Dq * xt) * (s * (1 + zt * (1 - s))));
        store<f32>(scan + at + q, dscan);
        store<f32>(dx + at + q, Dq * dscan);
        store<f32>(skip + q, load<f32>(skip + q) + xt * dscan);
      }
    }
  }
}

/**
 * Bytes for A, dh and dA of a block of channels, for h and the decays of a chunk for one channel, and for Δ, Δx, dscan and two
 * more values at each position of a chunk.
 */
export function selective_scan_backward_scratch(
  _m: i32, _l: i32, _e: i32, n: i32, _s: i32, _k: i32, _b: i32, _w: i32,
): usize {
  const block = <i32>scanBlock(n);
  return <usize>(3 * block * n + (2 * CHUNK + 1) * n + 5 * CHUNK * block) << 2;
}

// The gradient of the recurrence. It processes one block of channels of one sequence at a time. The dB and dC of the channels of
// a block are summed together.
export function selective_scan_backward(
  x: usize, dt: usize, A_log: usize, bc: usize, states: usize, dx: usize, ddt: usize, dBC: usize,
  m: i32, l: i32, e: i32, n: i32, s: i32, k: i32, b: i32, w: i32, scratch: usize, part: i32, parts: i32,
): void {
  const row = (<usize>n) << 2;
  const eRow = (<usize>e) << 2, sRow = (<usize>s) << 2, partRow = (<usize>w) << 2;
  const block = <i32>scanBlock(n);
  const stride = (<usize>block) << 2;
  const A = scratch;
  const dh = A + <usize>block * row;
  const dA = dh + <usize>block * row;
  const hs = dA + <usize>block * row;
  const decays = hs + <usize>(CHUNK + 1) * row;
  const delta = decays + <usize>CHUNK * row;
  const deltaX = delta + <usize>CHUNK * stride;
  const dscan = deltaX + <usize>CHUNK * stride;
  const toB = dscan + <usize>CHUNK * stride;
  const toA = toB + <usize>CHUNK * stride;
  for (let u = begin(m * b, 1, part, parts), end = begin(m * b, 1, part + 1, parts); u < end; u++) {
    const i = u / b, c = u % b;
    const j = c * block;
    const width = <usize>min(block, e - j) << 2;
    const size = (width >> 2) * row;
    decayRates(A, A_log + <usize>j * row, size);
    memory.fill(dh, 0, <usize>(2 * block) * row);
    for (let chunk = k - 1; chunk >= 0; chunk--) {
      const len = min(CHUNK, l - chunk * CHUNK);
      const r0 = <usize>i * <usize>l + <usize>(chunk * CHUNK);
      const at0 = r0 * eRow + (<usize>j << 2);
      const B0 = bc + (r0 + 1) * sRow - 2 * row;
      const part0 = dBC + (r0 * <usize>b + <usize>c) * partRow;
      for (let t: usize = 0, at = at0; t < <usize>len; t++, at += eRow) {
        memory.fill(part0 + t * <usize>b * partRow, 0, partRow);
        const to = t * stride;
        let q: usize = 0;
        for (; q + 16 <= width; q += 16) {
          const d = softplus4(v128.load(dt + at + q));
          v128.store(delta + to + q, d);
          v128.store(deltaX + to + q, f32x4.mul(d, v128.load(x + at + q)));
          v128.store(dscan + to + q, v128.load(ddt + at + q));
        }
        for (; q < width; q += 4) {
          const d = softplus1(load<f32>(dt + at + q));
          store<f32>(delta + to + q, d);
          store<f32>(deltaX + to + q, d * load<f32>(x + at + q));
          store<f32>(dscan + to + q, load<f32>(ddt + at + q));
        }
      }
      for (let q: usize = 0, o: usize = 0; q < width; q += 4, o += row) {
        if (chunk) memory.copy(hs, states + ((<usize>i * <usize>k + <usize>chunk) * <usize>e + <usize>j) * row + o, row);
        else memory.fill(hs, 0, row);
        for (let t: usize = 0; t < <usize>len; t++) {
          ascend(hs + t * row, decays + t * row, A + o, B0 + t * sRow, row, load<f32>(delta + t * stride + q), load<f32>(deltaX + t * stride + q));
        }
        for (let t = <usize>len; t-- > 0;) {
          const from = t * stride + q;
          descend(
            hs + t * row, decays + t * row, A + o, B0 + t * sRow, dh + o, dA + o, part0 + t * <usize>b * partRow, row,
            load<f32>(delta + from), load<f32>(deltaX + from), load<f32>(dscan + from), toB + from, toA + from,
          );
        }
      }
      // dx += Δ dh·B, ddt = dh·(A exp(Δ A) h' + x B)·σ(dt)
      for (let t: usize = 0, at = at0; t < <usize>len; t++, at += eRow) {
        const from = t * stride;
        let q: usize = 0;
        for (; q + 16 <= width; q += 16) {
          const v = v128.load(toB + from + q);
          v128.store(dx + at + q, f32x4.add(v128.load(dx + at + q), f32x4.mul(v128.load(delta + from + q), v)));
          const ddelta = f32x4.add(v128.load(toA + from + q), f32x4.mul(v128.load(x + at + q), v));
          v128.store(ddt + at + q, f32x4.mul(ddelta, sigmoid4(v128.load(dt + at + q))));
        }
        for (; q < width; q += 4) {
          const v = load<f32>(toB + from + q);
          store<f32>(dx + at + q, load<f32>(dx + at + q) + load<f32>(delta + from + q) * v);
          store<f32>(ddt + at + q, (load<f32>(toA + from + q) + load<f32>(x + at + q) * v) * sigmoid1(load<f32>(dt + at + q)));
        }
      }
    }
    const first = states + (<usize>i * <usize>k * <usize>e + <usize>j) * row;
    for (let q: usize = 0; q < size; q += 4) store<f32>(first + q, load<f32>(A + q) * LN2 * load<f32>(dA + q));
  }
}

// Computes the next h and its decay for one channel.
// @ts-ignore: decorator
@inline function ascend(h: usize, decays: usize, A: usize, B: usize, row: usize, delta: f32, deltaX: f32): void {
  const next = h + row;
  let q: usize = 0;
  for (; q + 16 <= row; q += 16) {
    const a = decay4(f32x4.mul(f32x4.splat(delta), v128.load(A + q)));
    v128.store(decays + q, a);
    v128.store(next + q, f32x4.add(f32x4.mul(a, v128.load(h + q)), f32x4.mul(f32x4.splat(deltaX), v128.load(B + q))));
  }
  for (; q < row; q += 4) {
    const a = decay1(delta * load<f32>(A + q));
    store<f32>(decays + q, a);
    store<f32>(next + q, a * load<f32>(h + q) + deltaX * load<f32>(B + q));
  }
}

// Goes back by one position for one channel. `h` is the state before the position and h + row the state after it. C follows B in
// memory, and dC follows dB.
// @ts-ignore: decorator
@inline function descend(
  h: usize, decays: usize, A: usize, B: usize, dh: usize, dA: usize, dB: usize, row: usize,
  delta: f32, deltaX: f32, dscan: f32, toB: usize, toA: usize,
): void {
  const after = h + row, C = B + row, dC = dB + row;
  let sumB = f32x4.splat(0), sumA = sumB;
  let q: usize = 0;
  for (; q + 16 <= row; q += 16) {
    // forward: scan = C·h  ⇒  dC += dscan·h, dh += dscan·C
    const g = f32x4.splat(dscan);
    v128.store(dC + q, f32x4.add(v128.load(dC + q), f32x4.mul(g, v128.load(after + q))));
    let d = f32x4.add(v128.load(dh + q), f32x4.mul(g, v128.load(C + q)));
    // forward: h = exp(Δ A) h' + Δ x B  ⇒  dB += dh·Δ x, dA += dh·Δ exp(Δ A) h', dh' = exp(Δ A) dh
    v128.store(dB + q, f32x4.add(v128.load(dB + q), f32x4.mul(f32x4.splat(deltaX), d)));
    sumB = f32x4.add(sumB, f32x4.mul(d, v128.load(B + q)));
    d = f32x4.mul(d, v128.load(decays + q));
    v128.store(dh + q, d);
    const dhh = f32x4.mul(d, v128.load(h + q));
    sumA = f32x4.add(sumA, f32x4.mul(dhh, v128.load(A + q)));
    v128.store(dA + q, f32x4.add(v128.load(dA + q), f32x4.mul(f32x4.splat(delta), dhh)));
  }
  let b = hsum(sumB), a = hsum(sumA);
  for (; q < row; q += 4) {
    store<f32>(dC + q, load<f32>(dC + q) + dscan * load<f32>(after + q));
    let d = load<f32>(dh + q) + dscan * load<f32>(C + q);
    store<f32>(dB + q, load<f32>(dB + q) + deltaX * d);
    b += d * load<f32>(B + q);
    d *= load<f32>(decays + q);
    store<f32>(dh + q, d);
    const dhh = d * load<f32>(h + q);
    a += dhh * load<f32>(A + q);
    store<f32>(dA + q, load<f32>(dA + q) + delta * dhh);
  }
  store<f32>(toB, b);
  store<f32>(toA, a * LN2);
}

export function selective_scan_backward_sum(
  states: usize, parts: usize, skip: usize, dbc: usize, dA_log: usize, dD: usize,
  m: i32, k: i32, e: i32, n: i32, l: i32, b: i32, w: i32, s: i32,
): void {
  const partRow = (<usize>w) << 2;
  for (let r = 0; r < m * l; r++) {
    const to = dbc + (<usize>(r + 1) * <usize>s << 2) - partRow;
    memory.copy(to, parts, partRow);
    parts += partRow;
    for (let c = 1; c < b; c++, parts += partRow) add(to, parts, partRow);
  }
  const size = <usize>e * <usize>n << 2;
  for (let i = 0; i < m; i++) {
    add(dA_log, states + <usize>i * <usize>k * size, size);
    add(dD, skip + (<usize>i * <usize>e << 2), <usize>e << 2);
  }
}

// Adds `size` bytes of `from` to `to`.
// @ts-ignore: decorator
@inline function add(to: usize, from: usize, size: usize): void {
  let q: usize = 0;
  for (; q + 16 <= size; q += 16) v128.store(to + q, f32x4.add(v128.load(to + q), v128.load(from + q)));
  for (; q < size; q += 4) store<f32>(to + q, load<f32>(to + q) + load<f32>(from + q));
}
