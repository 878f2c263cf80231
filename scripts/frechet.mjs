/**
 * The Fréchet distance of two sets of feature vectors, each taken for a Gaussian:
 * |μa − μb|² + tr(Σa + Σb − 2·(Σa·Σb)^½) (Heusel et al. 2017). Matrices are [d, d] row-major, all in float64.
 */

/** Mean [d] and covariance [d, d] of features [n, d]. Throws RangeError below two vectors, which have no covariance. */
export function moments(features, d) {
  const n = features.length / d;
  if (!(Number.isInteger(n) && n >= 2))
    throw new RangeError(`${features.length} features are no two or more vectors of ${d}; give more images.`);
  const mean = new Float64Array(d);
  for (let i = 0; i < features.length; i++) mean[i % d] += features[i] / n;
  const covariance = new Float64Array(d * d);
  const centred = new Float64Array(d);
  for (let i = 0; i < n; i++) {
    for (let a = 0; a < d; a++) centred[a] = features[i * d + a] - mean[a];
    for (let a = 0; a < d; a++) for (let b = 0; b < d; b++) covariance[a * d + b] += (centred[a] * centred[b]) / (n - 1);
  }
  return { mean, covariance };
}

/** The distance of two sets by their moments. */
export function frechet(a, b) {
  const d = a.mean.length;
  let distance = 0;
  for (let i = 0; i < d; i++) {
    distance += (a.mean[i] - b.mean[i]) ** 2 + a.covariance[i * d + i] + b.covariance[i * d + i];
  }
  // Σa = V·Λ·Vᵀ. With W = V·Λ^½ the symmetric Wᵀ·Σb·W has the eigenvalues of Σa·Σb.
  const { values, vectors: W } = eigen(a.covariance, d);
  for (let i = 0; i < d * d; i++) W[i] *= root(values[i % d]);
  const product = times(transposed(W, d), times(b.covariance, W, d), d);
  for (const value of eigen(product, d).values) distance -= 2 * root(value);
  return distance;
}

/** Rounding leaves eigenvalues that should be 0 a little below it. */
const root = (value) => Math.sqrt(Math.max(0, value));

/**
 * Eigenvalues [d] and, as columns, eigenvectors [d, d] of a symmetric matrix by cyclic Jacobi: each rotation makes one pair of
 * elements off the diagonal 0, until all are as good as 0.
 */
export function eigen(matrix, d) {
  const A = Float64Array.from(matrix);
  const V = Float64Array.from({ length: d * d }, (_, i) => (i % (d + 1) === 0 ? 1 : 0));
  const scale = A.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  for (let largest = scale; largest > 1e-15 * scale; ) {
    largest = 0;
    for (let p = 0; p < d; p++) {
      for (let q = p + 1; q < d; q++) {
        const off = A[p * d + q];
        if (Math.abs(off) <= 1e-15 * scale) continue;
        largest = Math.max(largest, Math.abs(off));
        // The smaller root of t² + 2·t·(Aqq − App)/(2·Apq) − 1 = 0 is the tangent of the angle.
        const ratio = (A[q * d + q] - A[p * d + p]) / (2 * off);
        const t = (ratio < 0 ? -1 : 1) / (Math.abs(ratio) + Math.hypot(1, ratio));
        const c = 1 / Math.hypot(1, t);
        rotate(A, d, p, q, c, t * c, 1, d);
        rotate(A, d, p, q, c, t * c, d, 1);
        rotate(V, d, p, q, c, t * c, 1, d);
      }
    }
  }
  return { values: Float64Array.from({ length: d }, (_, i) => A[i * d + i]), vectors: V };
}

/** Turns columns p and q of M (`across` 1, `along` d), or its rows (d, 1). */
function rotate(M, d, p, q, c, s, across, along) {
  for (let i = 0; i < d; i++) {
    const [x, y] = [M[p * across + i * along], M[q * across + i * along]];
    M[p * across + i * along] = c * x - s * y;
    M[q * across + i * along] = s * x + c * y;
  }
}

const transposed = (M, d) => M.map((_, i) => M[(i % d) * d + Math.floor(i / d)]);

function times(a, b, d) {
  const out = new Float64Array(d * d);
  for (let i = 0; i < d; i++)
    for (let k = 0; k < d; k++) for (let j = 0; j < d; j++) out[i * d + j] += a[i * d + k] * b[k * d + j];
  return out;
}
