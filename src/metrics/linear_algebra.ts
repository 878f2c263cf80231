/**
 * Symmetric matrices in float64, stored row by row: pivoted Cholesky factors, and eigenvalues. Both are blocked, so that most of the
 * work is products (products.ts). A 2048×2048 matrix takes seconds in one thread.
 */
import { addProducts } from './products.js';

/** A pivoted Cholesky factor. */
export interface Factor {
  /** L [n, n], zero above the diagonal. Only the first `rank` columns are used. */
  L: Float64Array;
  rank: number;
  /** The permutation of the pivots: S[order[i], order[j]] = Σ_k L[i, k]·L[j, k]. */
  order: Int32Array;
}

/**
 * The pivoted Cholesky factor of a symmetric matrix S [n, n] without negative eigenvalues. It ends when the rest contains only
 * rounding (n·2^-52 of the largest diagonal element), so the factor of a singular matrix has the rank of the matrix.
 */
export function cholesky(S: Float64Array, n: number): Factor {
  const A = Float64Array.from(S);
  const L = new Float64Array(n * n);
  const order = Int32Array.from({ length: n }, (_, i) => i);
  const left = Float64Array.from({ length: n }, (_, i) => S[i * (n + 1)]!);
  const least = n * 2 ** -52 * left.reduce((most, v) => Math.max(most, v), 0);
  const block = 64;
  for (let first = 0; first < n; first += block) {
    const end = Math.min(n, first + block);
    for (let j = first; j < end; j++) {
      let p = j;
      for (let i = j + 1; i < n; i++) if (left[i]! > left[p]!) p = i;
      if (!(left[p]! > least)) return { L, rank: j, order };
      if (p !== j) swap(A, L, left, order, n, j, p);
      const root = Math.sqrt(left[j]!);
      L[j * n + j] = root;
      for (let i = j + 1; i < n; i++) {
        let sum = A[i * n + j]!;
        for (let k = first; k < j; k++) sum -= L[i * n + k]! * L[j * n + k]!;
        const value = sum / root;
        L[i * n + j] = value;
        left[i]! -= value * value;
      }
    }
    const rest = n - end;
    const rows = { data: L, at: end * n + first, stride: n };
    const C = { data: A, at: end * (n + 1), stride: n };
    addProducts(C, rows, rows, rest, rest, -1, (i, j) => (j > i ? undefined : [0, end - first]));
  }
  return { L, rank: n, order };
}

/** Swaps rows and columns j and p > j in the remaining lower triangle of A, and the rows j and p of L. */
function swap(A: Float64Array, L: Float64Array, left: Float64Array, order: Int32Array, n: number, j: number, p: number): void {
  const exchange = (M: Float64Array | Int32Array, x: number, y: number) => {
    const kept = M[x]!;
    M[x] = M[y]!;
    M[y] = kept;
  };
  exchange(left, j, p);
  exchange(order, j, p);
  exchange(A, j * (n + 1), p * (n + 1));
  for (let k = 0; k < j; k++) exchange(L, j * n + k, p * n + k);
  for (let i = j + 1; i < p; i++) exchange(A, i * n + j, p * n + i);
  for (let i = p + 1; i < n; i++) exchange(A, i * n + j, i * n + p);
}

/**
 * The eigenvalues of a symmetric matrix M [n, n] in ascending order: Householder reflections to a tridiagonal matrix in panels of
 * 32 columns (LAPACK's dsytrd), then the implicit QL method.
 */
export function eigenvalues(M: Float64Array, n: number): Float64Array {
  // Row j, from its diagonal element on, is column j of the lower triangle.
  const A = Float64Array.from(M);
  const panel = 32;
  const d = new Float64Array(n);
  const e = new Float64Array(n);
  // The matrix is A − V·Wᵀ − W·Vᵀ. P has rows [V W], and Q has rows [W V].
  const width = 2 * panel;
  const P = new Float64Array(n * width);
  const Q = new Float64Array(n * width);
  const v = new Float64Array(n);
  const w = new Float64Array(n);
  for (let first = 0; first < n; first += panel) {
    const end = Math.min(n, first + panel);
    P.fill(0);
    Q.fill(0);
    for (let i = first; i < end; i++) {
      const k = i - first;
      for (let r = i; r < n; r++) {
        let sum = 0;
        for (let c = 0; c < k; c++)
          sum += P[r * width + c]! * Q[i * width + c]! + P[r * width + panel + c]! * Q[i * width + panel + c]!;
        A[i * n + r]! -= sum;
      }
      d[i] = A[i * n + i]!;
      if (i === n - 1) break;
      const tau = reflector(A, n, i, v, e);
      if (tau === 0) continue;
      multiplySymmetric(A, n, i + 1, v, w);
      for (let c = 0; c < k; c++) {
        let [x, y] = [0, 0];
        for (let r = i + 1; r < n; r++) {
          x += Q[r * width + c]! * v[r]!;
          y += P[r * width + c]! * v[r]!;
        }
        for (let r = i + 1; r < n; r++) w[r]! -= P[r * width + c]! * x + Q[r * width + c]! * y;
      }
      let dot = 0;
      for (let r = i + 1; r < n; r++) dot += (w[r]! *= tau) * v[r]!;
      const half = 0.5 * tau * dot;
      for (let r = i + 1; r < n; r++) {
        w[r]! -= half * v[r]!;
        P[r * width + k] = Q[r * width + panel + k] = v[r]!;
        Q[r * width + k] = P[r * width + panel + k] = w[r]!;
      }
    }
    const rest = n - end;
    if (rest <= 0) break;
    const rows = (data: Float64Array) => ({ data, at: end * width, stride: width });
    const C = { data: A, at: end * (n + 1), stride: n };
    addProducts(C, rows(Q), rows(P), rest, rest, -1, (i, j) => (j < i ? undefined : [0, width]));
  }
  return tridiagonal(d, e, n);
}

/** Computes v and τ so that 1 − τ·v·vᵀ zeroes column i below its subdiagonal element, which is returned in e[i]. v[i + 1] = 1. */
function reflector(A: Float64Array, n: number, i: number, v: Float64Array, e: Float64Array): number {
  const at = i * n;
  const alpha = A[at + i + 1]!;
  let scale = 0;
  for (let r = i + 2; r < n; r++) scale = Math.max(scale, Math.abs(A[at + r]!));
  if (scale === 0) {
    e[i] = alpha;
    return 0;
  }
  let sum = 0;
  for (let r = i + 2; r < n; r++) sum += (A[at + r]! / scale) ** 2;
  const beta = -Math.sign(alpha || 1) * Math.hypot(alpha, scale * Math.sqrt(sum));
  e[i] = beta;
  v[i + 1] = 1;
  for (let r = i + 2; r < n; r++) v[r] = A[at + r]! / (alpha - beta);
  return (beta - alpha) / beta;
}

/** w = A·v for rows and columns from `first` on. Reads each element of the triangle once, four columns at a time. */
function multiplySymmetric(A: Float64Array, n: number, first: number, v: Float64Array, w: Float64Array): void {
  w.fill(0, first);
  let c = first;
  for (; c + 4 <= n; c += 4) {
    // The triangle at the diagonal.
    for (let i = c; i < c + 4; i++) {
      w[i]! += A[i * n + i]! * v[i]!;
      for (let r = i + 1; r < c + 4; r++) {
        const value = A[i * n + r]!;
        w[i]! += value * v[r]!;
        w[r]! += value * v[i]!;
      }
    }
    const [p0, p1, p2, p3] = [c * n, (c + 1) * n, (c + 2) * n, (c + 3) * n];
    const v0 = v[c]!;
    const v1 = v[c + 1]!;
    const v2 = v[c + 2]!;
    const v3 = v[c + 3]!;
    let [s0, s1, s2, s3] = [0, 0, 0, 0];
    for (let r = c + 4; r < n; r++) {
      const x0 = A[p0 + r]!;
      const x1 = A[p1 + r]!;
      const x2 = A[p2 + r]!;
      const x3 = A[p3 + r]!;
      const y = v[r]!;
      s0 += x0 * y;
      s1 += x1 * y;
      s2 += x2 * y;
      s3 += x3 * y;
      w[r]! += x0 * v0 + x1 * v1 + x2 * v2 + x3 * v3;
    }
    w[c]! += s0;
    w[c + 1]! += s1;
    w[c + 2]! += s2;
    w[c + 3]! += s3;
  }
  for (; c < n; c++) {
    w[c]! += A[c * n + c]! * v[c]!;
    for (let r = c + 1; r < n; r++) {
      w[c]! += A[c * n + r]! * v[r]!;
      w[r]! += A[c * n + r]! * v[c]!;
    }
  }
}

/**
 * The eigenvalues of the tridiagonal matrix with diagonal d and off-diagonal elements e, where e[i] is between d[i] and d[i + 1].
 */
function tridiagonal(d: Float64Array, e: Float64Array, n: number): Float64Array {
  e[n - 1] = 0;
  for (let l = 0; l < n; l++) {
    // About 2 steps are usual. The bound only prevents an endless loop on NaN.
    for (let steps = 0; steps < 60; steps++) {
      let m = l;
      while (m < n - 1 && Math.abs(e[m]!) > 2 ** -53 * (Math.abs(d[m]!) + Math.abs(d[m + 1]!))) m++;
      if (m === l) break;
      let g = (d[l + 1]! - d[l]!) / (2 * e[l]!);
      let r = Math.hypot(g, 1);
      g = d[m]! - d[l]! + e[l]! / (g + (g < 0 ? -r : r));
      let [s, c, p] = [1, 1, 0];
      let i = m - 1;
      for (; i >= l; i--) {
        const f = s * e[i]!;
        const b = c * e[i]!;
        r = Math.hypot(f, g);
        e[i + 1] = r;
        if (r === 0) {
          d[i + 1]! -= p;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1]! - p;
        r = (d[i]! - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
      }
      if (r === 0 && i >= l) continue;
      d[l]! -= p;
      e[l] = g;
      e[m] = 0;
    }
  }
  return d.sort();
}
