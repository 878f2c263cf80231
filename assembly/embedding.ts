// y[m] = table[ids[m]]. An id past the end of the table reads the last row.
import { addTo } from './lib/math';

export function embedding_forward(table: usize, ids: usize, y: usize, v: i32, d: i32, m: i32): void {
  const row = (<usize>d) << 2;
  for (let i = 0; i < m; i++) {
    const id = min<u32>(load<u32>(ids + (<usize>i << 2)), <u32>v - 1);
    memory.copy(y + <usize>i * row, table + <usize>id * row, row);
  }
}

// forward: y[m] = table[ids[m]]  ⇒  dtable[ids[m]] += dy[m]
export function embedding_backward(ids: usize, dy: usize, dtable: usize, m: i32, d: i32, v: i32): void {
  const row = (<usize>d) << 2;
  for (let i = 0; i < m; i++, dy += row) {
    const id = min<u32>(load<u32>(ids + (<usize>i << 2)), <u32>v - 1);
    addTo(dtable + <usize>id * row, dy, row);
  }
}
