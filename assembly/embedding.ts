// y[m] = table[ids[m]]; an id past the table reads its last row.
export function embedding_forward(table: usize, ids: usize, y: usize, v: i32, d: i32, m: i32): void {
  const row = (<usize>d) << 2;
  for (let i = 0; i < m; i++) {
    const id = min<u32>(load<u32>(ids + (<usize>i << 2)), <u32>v - 1);
    memory.copy(y + <usize>i * row, table + <usize>id * row, row);
  }
}
