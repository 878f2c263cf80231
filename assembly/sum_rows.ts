// @train
// Computes y[n] += Σᵣ x[r,n], 16 columns at a time in registers.
export function sum_rows_forward(x: usize, y: usize, r: i32, n: i32): void {
  const row = (<usize>n) << 2;
  let at: usize = 0;
  for (; at + 64 <= row; at += 64) {
    let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
    for (let i = 0, p = x + at; i < r; i++, p += row) {
      a0 = f32x4.add(a0, v128.load(p));
      a1 = f32x4.add(a1, v128.load(p, 16));
      a2 = f32x4.add(a2, v128.load(p, 32));
      a3 = f32x4.add(a3, v128.load(p, 48));
    }
    const q = y + at;
    v128.store(q, f32x4.add(v128.load(q), a0));
    v128.store(q, f32x4.add(v128.load(q, 16), a1), 16);
    v128.store(q, f32x4.add(v128.load(q, 32), a2), 32);
    v128.store(q, f32x4.add(v128.load(q, 48), a3), 48);
  }
  for (; at + 16 <= row; at += 16) {
    let a = f32x4.splat(0);
    for (let i = 0, p = x + at; i < r; i++, p += row) a = f32x4.add(a, v128.load(p));
    v128.store(y + at, f32x4.add(v128.load(y + at), a));
  }
  for (; at < row; at += 4) {
    let a: f32 = 0;
    for (let i = 0, p = x + at; i < r; i++, p += row) a += load<f32>(p);
    store<f32>(y + at, load<f32>(y + at) + a);
  }
}
