// C[i, j] = Σ_k A[i, k]·B[j, k] in float64, for the metrics of sets of images (src/metrics/products.ts).
// A has m rows and B n rows, `stride` bytes apart. C has rows of n. m must be a multiple of 4, n and k of 2.
export function products(c: usize, a: usize, b: usize, m: i32, n: i32, k: i32, stride: usize): void {
  const row = <usize>n << 3, bytes = <usize>k << 3;
  for (let i = 0; i < m; i += 4, a += stride << 2, c += row << 2) {
    const a1 = a + stride, a2 = a1 + stride, a3 = a2 + stride;
    let b0 = b;
    for (let o: usize = 0; o < row; o += 16, b0 += stride << 1) {
      const b1 = b0 + stride;
      // Sums of even and of odd k in two lanes: eight of them stay in registers.
      let s00 = f64x2.splat(0), s01 = s00, s10 = s00, s11 = s00, s20 = s00, s21 = s00, s30 = s00, s31 = s00;
      for (let q: usize = 0; q < bytes; q += 16) {
        const y0 = v128.load(b0 + q), y1 = v128.load(b1 + q);
        let x = v128.load(a + q);
        s00 = f64x2.add(s00, f64x2.mul(x, y0));
        s01 = f64x2.add(s01, f64x2.mul(x, y1));
        x = v128.load(a1 + q);
        s10 = f64x2.add(s10, f64x2.mul(x, y0));
        s11 = f64x2.add(s11, f64x2.mul(x, y1));
        x = v128.load(a2 + q);
        s20 = f64x2.add(s20, f64x2.mul(x, y0));
        s21 = f64x2.add(s21, f64x2.mul(x, y1));
        x = v128.load(a3 + q);
        s30 = f64x2.add(s30, f64x2.mul(x, y0));
        s31 = f64x2.add(s31, f64x2.mul(x, y1));
      }
      put(c + o, s00, s01);
      put(c + row + o, s10, s11);
      put(c + 2 * row + o, s20, s21);
      put(c + 3 * row + o, s30, s31);
    }
  }
}

// Stores the sums of the lanes of two vectors.
// @ts-ignore: decorator
@inline function put(at: usize, x: v128, y: v128): void {
  const even = i8x16.shuffle(x, y, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
  const odd = i8x16.shuffle(x, y, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  v128.store(at, f64x2.add(even, odd));
}
