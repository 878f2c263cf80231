// @train: drawing does not use it.
// y[m, offset … offset + n) = max(0, x[m,n])

export function relu_forward(x: usize, y: usize, m: i32, n: i32, s: i32, offset: i32): void {
  const zero = f32x4.splat(0);
  for (let i = 0; i < m; i++) {
    let to = y + ((<usize>i * <usize>s + <usize>offset) << 2);
    const end = to + (<usize>n << 2);
    for (; to + 16 <= end; to += 16, x += 16) v128.store(to, f32x4.max(v128.load(x), zero));
    for (; to < end; to += 4, x += 4) store<f32>(to, max<f32>(load<f32>(x), 0));
  }
}
