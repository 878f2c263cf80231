// y[m,r,d] = groups[m,group,r,d] + table[1,r,d]
import { addTo } from './lib/math';

export function group_modulation_forward(groups: usize, table: usize, y: usize, m: i32, g: i32, r: i32, d: i32, group: i32): void {
  const row = (<usize>r * <usize>d) << 2;
  groups += <usize>group * row;
  for (let i = 0; i < m; i++, y += row, groups += <usize>g * row) {
    let q: usize = 0;
    for (; q + 16 <= row; q += 16) v128.store(y + q, f32x4.add(v128.load(groups + q), v128.load(table + q)));
    for (; q < row; q += 4) store<f32>(y + q, load<f32>(groups + q) + load<f32>(table + q));
  }
}

// forward: y[m] = groups[m,group] + table  ⇒  dgroups[m,group] += dy[m], dtable += Σ dy
export function group_modulation_backward(dy: usize, dgroups: usize, dtable: usize, m: i32, r: i32, d: i32, g: i32, group: i32): void {
  const row = (<usize>r * <usize>d) << 2;
  dgroups += <usize>group * row;
  for (let i = 0; i < m; i++, dy += row, dgroups += <usize>g * row) {
    addTo(dgroups, dy, row);
    addTo(dtable, dy, row);
  }
}
