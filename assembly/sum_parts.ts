// y[n] += Σₚ x[p,n].

export function sum_parts_forward(x: usize, y: usize, p: i32, n: i32): void {
  const row = <usize>n << 2;
  let j: usize = 0;
  for (; j + 16 <= row; j += 16) {
    let sum = f32x4.splat(0);
    for (let i = 0, q = x + j; i < p; i++, q += row) sum = f32x4.add(sum, v128.load(q));
    v128.store(y + j, f32x4.add(v128.load(y + j), sum));
  }
  for (; j < row; j += 4) {
    let sum: f32 = 0;
    for (let i = 0, q = x + j; i < p; i++, q += row) sum += load<f32>(q);
    store<f32>(y + j, load<f32>(y + j) + sum);
  }
}
