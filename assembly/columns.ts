// y[m,c] = x[m, offset … offset + c)

export function columns_forward(x: usize, y: usize, m: i32, s: i32, c: i32, offset: i32): void {
  const row = <usize>c << 2;
  for (let i = 0; i < m; i++) memory.copy(y + <usize>i * row, x + ((<usize>i * <usize>s + <usize>offset) << 2), row);
}

// forward: y[i,j] = x[i, offset + j]  ⇒  dx[i, offset + j] = dy[i,j]
export function columns_backward(dy: usize, dx: usize, m: i32, c: i32, s: i32, offset: i32): void {
  const row = <usize>c << 2;
  for (let i = 0; i < m; i++) memory.copy(dx + ((<usize>i * <usize>s + <usize>offset) << 2), dy + <usize>i * row, row);
}
