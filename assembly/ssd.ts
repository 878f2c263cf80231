// H_t = exp(dt_t A) H_{t-1} + dt_t·x_t ⊗ B_t,  y_t = H_t C_t + D x_t,  dt = softplus(dt + dt_bias), A = -exp(A_log).
// Memory traffic of the state limits the speed of a step. Each element is read and written once, and four rows of p share the
// loads of B and C. A sequence is processed position by position for one tile of rows, which stays in the first-level cache, with
// the same arithmetic. Threads divide the heads of all sequences.
import { exp1, hsum, sigmoid1, softplus1 } from './lib/math';
import { begin } from './lib/split';

/** Rows of a tile of the state. */
const TILE_ROWS: i32 = 16;

/** Bytes for a tile of the state. It is used if the call has no state. */
export function ssd_forward_scratch(
  _m: i32, _l: i32, _c: i32, _s: i32, _h: i32, _p: i32, _n: i32, _e: i32,
  _ngroups: i32, _headdim: i32, n: i32,
): usize {
  return <usize>(TILE_ROWS * n) << 2;
}

export function ssd_forward(
  xbc: usize, zxbcdt: usize, A_log: usize, dt_bias: usize, D: usize, state: usize, y: usize,
  m: i32, l: i32, c: i32, s: i32, h: i32, _p: i32, _n: i32, e: i32,
  ngroups: i32, p: i32, n: i32, scratch: usize, part: i32, parts: i32,
): void {
  const stride = (<usize>n) << 2;
  const groupHeads = h / ngroups;
  for (let u = begin(m * h, 1, part, parts), end = begin(m * h, 1, part + 1, parts); u < end; u++) {
    const i = u / h, k = u % h;
    const A = -exp1(load<f32>(A_log + (<usize>k << 2)));
    const bias = load<f32>(dt_bias + (<usize>k << 2));
    const Dk = load<f32>(D + (<usize>k << 2));
    const B0 = <usize>(e + (k / groupHeads) * n);
    for (let r0 = 0; r0 < p; r0 += TILE_ROWS) {
      const rows = min(TILE_ROWS, p - r0);
      let H = scratch;
      if (state) H = state + ((<usize>i * <usize>h + <usize>k) * <usize>p + <usize>r0) * stride;
      else memory.fill(H, 0, <usize>rows * stride);
      for (let t = 0; t < l; t++) {
        const row = <usize>i * <usize>l + <usize>t;
        const dt = softplus1(load<f32>(zxbcdt + ((row * <usize>s + <usize>(s - h + k)) << 2)) + bias);
        const a = exp1(dt * A);
        const x = xbc + ((row * <usize>c + <usize>(k * p + r0)) << 2);
        const B = xbc + ((row * <usize>c + B0) << 2);
        const C = B + <usize>ngroups * stride;
        const out = y + ((row * <usize>e + <usize>(k * p + r0)) << 2);
        let r = 0;
        for (; r + 4 <= rows; r += 4) rows4(H + <usize>r * stride, x + (<usize>r << 2), B, C, out + (<usize>r << 2), stride, a, dt, 1, Dk);
        for (; r < rows; r++) rows1(H + <usize>r * stride, x + (<usize>r << 2), B, C, out + (<usize>r << 2), stride, a, dt, 1, Dk);
      }
    }
  }
}

// @ts-ignore: decorator
@inline function tail(H: usize, B: usize, C: usize, from: usize, stride: usize, a: f32, u: f32, sum: f32): f32 {
  for (let q = from; q < stride; q += 4) {
    const v = a * load<f32>(H + q) + u * load<f32>(B + q);
    store<f32>(H + q, v);
    sum += v * load<f32>(C + q);
  }
  return sum;
}

// Computes H = a·H + push·x ⊗ B and y = gain·(H C) + D x for one row.
function rows1(H: usize, x: usize, B: usize, C: usize, y: usize, stride: usize, a: f32, push: f32, gain: f32, D: f32): void {
  const xr = load<f32>(x);
  const u = push * xr;
  const av = f32x4.splat(a), uv = f32x4.splat(u);
  let acc = f32x4.splat(0);
  const end = stride & ~15;
  for (let q: usize = 0; q < end; q += 16) {
    const v = f32x4.add(f32x4.mul(av, v128.load(H + q)), f32x4.mul(uv, v128.load(B + q)));
    v128.store(H + q, v);
    acc = f32x4.add(acc, f32x4.mul(v, v128.load(C + q)));
  }
  store<f32>(y, D * xr + gain * tail(H, B, C, end, stride, a, u, hsum(acc)));
}

// The same for four rows.
function rows4(H0: usize, x: usize, B: usize, C: usize, y: usize, stride: usize, a: f32, push: f32, gain: f32, D: f32): void {
  const H1 = H0 + stride, H2 = H1 + stride, H3 = H2 + stride;
  const xv = v128.load(x);
  const u = f32x4.mul(f32x4.splat(push), xv);
  const av = f32x4.splat(a);
  const u0 = i8x16.shuffle(u, u, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
  const u1 = i8x16.shuffle(u, u, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
  const u2 = i8x16.shuffle(u, u, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11);
  const u3 = i8x16.shuffle(u, u, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15);
  let c0 = f32x4.splat(0), c1 = c0, c2 = c0, c3 = c0;
  const end = stride & ~15;
  for (let q: usize = 0; q < end; q += 16) {
    const b = v128.load(B + q), c = v128.load(C + q);
    let v = f32x4.add(f32x4.mul(av, v128.load(H0 + q)), f32x4.mul(u0, b));
    v128.store(H0 + q, v);
    c0 = f32x4.add(c0, f32x4.mul(v, c));
    v = f32x4.add(f32x4.mul(av, v128.load(H1 + q)), f32x4.mul(u1, b));
    v128.store(H1 + q, v);
    c1 = f32x4.add(c1, f32x4.mul(v, c));
    v = f32x4.add(f32x4.mul(av, v128.load(H2 + q)), f32x4.mul(u2, b));
    v128.store(H2 + q, v);
    c2 = f32x4.add(c2, f32x4.mul(v, c));
    v = f32x4.add(f32x4.mul(av, v128.load(H3 + q)), f32x4.mul(u3, b));
    v128.store(H3 + q, v);
    c3 = f32x4.add(c3, f32x4.mul(v, c));
  }
  store<f32>(y, D * load<f32>(x) + gain * tail(H0, B, C, end, stride, a, f32x4.extract_lane(u, 0), hsum(c0)));
  store<f32>(y, D * load<f32>(x, 4) + gain * tail(H1, B, C, end, stride, a, f32x4.extract_lane(u, 1), hsum(c1)), 4);
  store<f32>(y, D * load<f32>(x, 8) + gain * tail(H2, B, C, end, stride, a, f32x4.extract_lane(u, 2), hsum(c2)), 8);
  store<f32>(y, D * load<f32>(x, 12) + gain * tail(H3, B, C, end, stride, a, f32x4.extract_lane(u, 3), hsum(c3)), 12);
}

/** Bytes for a state, then for dB, dC, past and future of the heads of one sequence. */
export function ssd_backward_scratch(
  _m: i32, l: i32, _c: i32, _s: i32, h: i32, _e: i32,
  _ngroups: i32, p: i32, n: i32,
): usize {
  return stateBytes(p, n) + 2 * ((<usize>l * <usize>h) << 2) * <usize>(n + 2);
}

function stateBytes(p: i32, n: i32): usize {
  return <usize>(max(p, TILE_ROWS) * n) << 2;
}

// The gradient stores no states. H is computed forwards a second time for dC, and dH is computed backwards, once for dB and once
// for dx. The gradient of dt follows from what each position takes from earlier positions and gives to later ones. Sequences are
// processed one at a time.
export function ssd_backward(
  xbc: usize, zxbcdt: usize, A_log: usize, dt_bias: usize, D: usize, dy: usize,
  dxbc: usize, dzxbcdt: usize, grads: usize,
  m: i32, l: i32, c: i32, s: i32, h: i32, e: i32,
  ngroups: i32, p: i32, n: i32, scratch: usize, part: i32, parts: i32,
): void {
  const heads = (<usize>l * <usize>h) << 2;
  const dB = scratch + stateBytes(p, n);
  const dC = dB + heads * <usize>n;
  const past = dC + heads * <usize>n;
  const future = past + 2 * heads;
  const cRows = <usize>(l * c) << 2, sRows = <usize>(l * s) << 2, eRows = <usize>(l * e) << 2;
  const first = begin(m, 1, part, parts), last = begin(m, 1, part + 1, parts);
  xbc += <usize>first * cRows, dxbc += <usize>first * cRows;
  zxbcdt += <usize>first * sRows, dzxbcdt += <usize>first * sRows;
  dy += <usize>first * eRows;
  for (let i = first; i < last; i++, xbc += cRows, dxbc += cRows, zxbcdt += sRows, dzxbcdt += sRows, dy += eRows) {
    backwardX(xbc, zxbcdt, A_log, dt_bias, D, dy, dxbc, l, c, s, h, e, ngroups, p, n, scratch);
    backwardPast(xbc, zxbcdt, A_log, dt_bias, dy, dC, past, l, c, s, h, e, ngroups, p, n, scratch);
    backwardFuture(xbc, zxbcdt, A_log, dt_bias, dy, dB, future, l, c, s, h, e, ngroups, p, n, scratch);
    backwardDt(zxbcdt, A_log, dt_bias, past, future, dzxbcdt, grads + (<usize>(i * 3 * h) << 2), l, s, h);
    sumHeads(dB, dC, dxbc, l, h, n, c, ngroups);
  }
}

// dx_t = dt_t dH_t B_t + D dy_t, dH_t = exp(dt_{t+1} A) dH_{t+1} + dy_t ⊗ C_t. This is the forward recurrence in reverse order
// with B and C swapped.
function backwardX(
  xbc: usize, zxbcdt: usize, A_log: usize, dt_bias: usize, D: usize, dy: usize, dxbc: usize,
  l: i32, c: i32, s: i32, h: i32, e: i32,
  ngroups: i32, p: i32, n: i32, dH: usize,
): void {
  const stride = (<usize>n) << 2;
  const groupHeads = h / ngroups;
  for (let k = 0; k < h; k++) {
    const A = -exp1(load<f32>(A_log + (<usize>k << 2)));
    const bias = load<f32>(dt_bias + (<usize>k << 2));
    const Dk = load<f32>(D + (<usize>k << 2));
    const B0 = <usize>(e + (k / groupHeads) * n);
    for (let r0 = 0; r0 < p; r0 += TILE_ROWS) {
      const rows = min(TILE_ROWS, p - r0);
      memory.fill(dH, 0, <usize>rows * stride);
      let a: f32 = 0;
      for (let t = l - 1; t >= 0; t--) {
        const row = <usize>t;
        const dt = softplus1(load<f32>(zxbcdt + ((row * <usize>s + <usize>(s - h + k)) << 2)) + bias);
        const g = dy + ((row * <usize>e + <usize>(k * p + r0)) << 2);
        const B = xbc + ((row * <usize>c + B0) << 2);
        const C = B + <usize>ngroups * stride;
        const out = dxbc + ((row * <usize>c + <usize>(k * p + r0)) << 2);
        let r = 0;
        for (; r + 4 <= rows; r += 4) rows4(dH + <usize>r * stride, g + (<usize>r << 2), C, B, out + (<usize>r << 2), stride, a, 1, dt, Dk);
        for (; r < rows; r++) rows1(dH + <usize>r * stride, g + (<usize>r << 2), C, B, out + (<usize>r << 2), stride, a, 1, dt, Dk);
        a = exp1(dt * A);
      }
    }
  }
}

// Computes dC_t = H_tᵀ dy_t for every head, and past = [dy·(exp(dt A) H') C, dy·x].
function backwardPast(
  xbc: usize, zxbcdt: usize, A_log: usize, dt_bias: usize, dy: usize, dC: usize, past: usize,
  l: i32, c: i32, s: i32, h: i32, e: i32,
  ngroups: i32, p: i32, n: i32, scratch: usize,
): void {
  for (let k = 0; k < h; k++) {
    const A = -exp1(load<f32>(A_log + (<usize>k << 2)));
    const bias = load<f32>(dt_bias + (<usize>k << 2));
    memory.fill(scratch, 0, <usize>(p * n) << 2);
    for (let t = 0; t < l; t++) {
      const row = <usize>t;
      const dt = softplus1(load<f32>(zxbcdt + ((row * <usize>s + <usize>(s - h + k)) << 2)) + bias);
      const x = xbc + ((row * <usize>c + <usize>(k * p)) << 2);
      const g = dy + ((row * <usize>e + <usize>(k * p)) << 2);
      const B = xbc + ((row * <usize>c + <usize>(e + (k / (h / ngroups)) * n)) << 2);
      const C = B + (<usize>(ngroups * n) << 2);
      const at = row * <usize>h + <usize>k;
      const out = dC + ((at * <usize>n) << 2);
      columns(scratch, x, g, B, out, p, n, exp1(dt * A), dt);
      const gx = dot(g, x, p);
      store<f32>(past + (at << 3), dot(out, C, n));
      store<f32>(past + (at << 3), gx, 4);
      axpy(out, B, n, dt * gx, 1);
    }
  }
}

// Computes dB_t = dt_t dH_tᵀ x_t for every head, and future = [x·(exp(dt' A) dH') B, x·dH B]. The prime marks the next position.
function backwardFuture(
  xbc: usize, zxbcdt: usize, A_log: usize, dt_bias: usize, dy: usize, dB: usize, future: usize,
  l: i32, c: i32, s: i32, h: i32, e: i32,
  ngroups: i32, p: i32, n: i32, scratch: usize,
): void {
  for (let k = 0; k < h; k++) {
    const A = -exp1(load<f32>(A_log + (<usize>k << 2)));
    const bias = load<f32>(dt_bias + (<usize>k << 2));
    memory.fill(scratch, 0, <usize>(p * n) << 2);
    let a: f32 = 0;
    for (let t = l - 1; t >= 0; t--) {
      const row = <usize>t;
      const dt = softplus1(load<f32>(zxbcdt + ((row * <usize>s + <usize>(s - h + k)) << 2)) + bias);
      const x = xbc + ((row * <usize>c + <usize>(k * p)) << 2);
      const g = dy + ((row * <usize>e + <usize>(k * p)) << 2);
      const B = xbc + ((row * <usize>c + <usize>(e + (k / (h / ngroups)) * n)) << 2);
      const C = B + (<usize>(ngroups * n) << 2);
      const at = row * <usize>h + <usize>k;
      const out = dB + ((at * <usize>n) << 2);
      columns(scratch, g, x, C, out, p, n, a, 1);
      const gx = dot(g, x, p);
      const after = dot(out, B, n);
      store<f32>(future + (at << 3), after);
      store<f32>(future + (at << 3), after + gx * dot(C, B, n), 4);
      axpy(out, C, n, gx, dt);
      a = exp1(dt * A);
    }
  }
}

// Computes out = (a·S)ᵀ weight, then S = a·S + gain·push ⊗ key, for all rows of one head. Four rows at a time share key and out.
function columns(S: usize, push: usize, weight: usize, key: usize, out: usize, p: i32, n: i32, a: f32, gain: f32): void {
  const stride = (<usize>n) << 2;
  const end = stride & ~15;
  const av = f32x4.splat(a);
  memory.fill(out, 0, stride);
  let r = 0;
  for (; r + 4 <= p; r += 4, S += 4 * stride, push += 16, weight += 16) {
    const S1 = S + stride, S2 = S1 + stride, S3 = S2 + stride;
    const u0 = f32x4.splat(gain * load<f32>(push)), u1 = f32x4.splat(gain * load<f32>(push, 4));
    const u2 = f32x4.splat(gain * load<f32>(push, 8)), u3 = f32x4.splat(gain * load<f32>(push, 12));
    const w0 = v128.load32_splat(weight), w1 = v128.load32_splat(weight, 4);
    const w2 = v128.load32_splat(weight, 8), w3 = v128.load32_splat(weight, 12);
    for (let q: usize = 0; q < end; q += 16) {
      const b = v128.load(key + q);
      let v = f32x4.mul(av, v128.load(S + q));
      let sum = f32x4.mul(w0, v);
      v128.store(S + q, f32x4.add(v, f32x4.mul(u0, b)));
      v = f32x4.mul(av, v128.load(S1 + q));
      sum = f32x4.add(sum, f32x4.mul(w1, v));
      v128.store(S1 + q, f32x4.add(v, f32x4.mul(u1, b)));
      v = f32x4.mul(av, v128.load(S2 + q));
      sum = f32x4.add(sum, f32x4.mul(w2, v));
      v128.store(S2 + q, f32x4.add(v, f32x4.mul(u2, b)));
      v = f32x4.mul(av, v128.load(S3 + q));
      sum = f32x4.add(sum, f32x4.mul(w3, v));
      v128.store(S3 + q, f32x4.add(v, f32x4.mul(u3, b)));
      v128.store(out + q, f32x4.add(v128.load(out + q), sum));
    }
    for (let o: usize = 0; o < 4; o++) columnsTail(S + o * stride, load<f32>(push + (o << 2)), load<f32>(weight + (o << 2)), key, out, end, stride, a, gain);
  }
  for (; r < p; r++, S += stride, push += 4, weight += 4) columnsTail(S, load<f32>(push), load<f32>(weight), key, out, 0, stride, a, gain);
}

// @ts-ignore: decorator
@inline function columnsTail(S: usize, u: f32, w: f32, key: usize, out: usize, from: usize, stride: usize, a: f32, gain: f32): void {
  for (let q = from; q < stride; q += 4) {
    const v = a * load<f32>(S + q);
    store<f32>(out + q, load<f32>(out + q) + w * v);
    store<f32>(S + q, v + gain * u * load<f32>(key + q));
  }
}

// @ts-ignore: decorator
@inline function dot(x: usize, y: usize, n: i32): f32 {
  let acc = f32x4.splat(0);
  let q: usize = 0;
  const size = (<usize>n) << 2;
  for (; q + 16 <= size; q += 16) acc = f32x4.add(acc, f32x4.mul(v128.load(x + q), v128.load(y + q)));
  let sum = hsum(acc);
  for (; q < size; q += 4) sum += load<f32>(x + q) * load<f32>(y + q);
  return sum;
}

// y = gain·(y + a·x)
// @ts-ignore: decorator
@inline function axpy(y: usize, x: usize, n: i32, a: f32, gain: f32): void {
  let q: usize = 0;
  const size = (<usize>n) << 2;
  for (; q + 16 <= size; q += 16) {
    v128.store(y + q, f32x4.mul(f32x4.splat(gain), f32x4.add(v128.load(y + q), f32x4.mul(f32x4.splat(a), v128.load(x + q)))));
  }
  for (; q < size; q += 4) store<f32>(y + q, gain * (load<f32>(y + q) + a * load<f32>(x + q)));
}

// Computes the gradient of dt, and [dA_log, dD, ddt_bias] of the sequence. E_t = ⟨dH_t, exp(dt_t A) H_{t-1}⟩ is everything that
// positions from t on receive from positions before t, and E_t = E_{t+1} + past_t - dt_t·future_t.
function backwardDt(
  zxbcdt: usize, A_log: usize, dt_bias: usize, past: usize, future: usize, dzxbcdt: usize, grads: usize,
  l: i32, s: i32, h: i32,
): void {
  for (let k = 0; k < h; k++) {
    const A = -exp1(load<f32>(A_log + (<usize>k << 2)));
    const bias = load<f32>(dt_bias + (<usize>k << 2));
    let E: f32 = 0, dA: f32 = 0, dD: f32 = 0, dbias: f32 = 0;
    for (let t = l - 1; t >= 0; t--) {
      const row = <usize>t;
      const at = (row * <usize>h + <usize>k) << 3;
      const rawAt = ((row + 1) * <usize>s - <usize>h + <usize>k) << 2;
      const raw = load<f32>(zxbcdt + rawAt) + bias;
      const dt = softplus1(raw);
      E += load<f32>(past + at) - dt * load<f32>(future + at);
      // The decay is so strong here that nothing above rounding passes this position. The sum contains only accumulated rounding
      // errors, which a large dt would magnify, so it is set to zero.
      if (dt * A < -16) E = 0;
      // forward: H = exp(dt A) H' + dt x ⊗ B  ⇒  dA += dt E, d(dt) = A E + x·dH B
      dA += dt * E;
      // forward: dt = softplus(raw)  ⇒  draw = d(dt)·σ(raw)
      const draw = (A * E + load<f32>(future + at, 4)) * sigmoid1(raw);
      store<f32>(dzxbcdt + rawAt, draw);
      dbias += draw;
      // forward: y = … + D x  ⇒  dD += dy·x
      dD += load<f32>(past + at, 4);
    }
    // forward: A = -exp(A_log)  ⇒  dA_log = A·dA
    const to = grads + (<usize>k << 2);
    store<f32>(to, A * dA);
    store<f32>(to + (<usize>h << 2), dD);
    store<f32>(to + (<usize>h << 3), dbias);
  }
}

// Adds up the B and C columns over the heads of a group.
function sumHeads(dB: usize, dC: usize, dxbc: usize, l: i32, h: i32, n: i32, c: i32, ngroups: i32): void {
  const stride = (<usize>n) << 2;
  const heads = h / ngroups;
  for (let r = 0; r < l; r++) {
    let B = dxbc + (<usize>(r + 1) * <usize>c << 2) - 2 * <usize>ngroups * stride;
    let C = B + <usize>ngroups * stride;
    for (let group = 0; group < ngroups; group++, B += stride, C += stride) {
      memory.fill(B, 0, stride);
      memory.fill(C, 0, stride);
      for (let k = 0; k < heads; k++, dB += stride, dC += stride) {
        axpy(B, dB, n, 1, 1);
        axpy(C, dC, n, 1, 1);
      }
    }
  }
}

export function ssd_backward_sum(grads: usize, dA_log: usize, dD: usize, ddt_bias: usize, m: i32, h: i32): void {
  for (let i = 0; i < m; i++) {
    const from = grads + (<usize>(i * 3 * h) << 2);
    axpy(dA_log, from, h, 1, 1);
    axpy(dD, from + (<usize>h << 2), h, 1, 1);
    axpy(ddt_bias, from + (<usize>h << 3), h, 1, 1);
  }
}
