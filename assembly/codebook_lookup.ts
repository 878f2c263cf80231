// y[r] = e/max(‖e‖, 1e-12) with e = codebook[codes[r]].
import { rowLength } from './lib/math';

export function codebook_lookup_forward(codebook: usize, codes: usize, y: usize, v: i32, d: i32, r: i32): void {
  const row = <usize>d << 2;
  for (let i = 0; i < r; i++) {
    const e = codebook + <usize>min<u32>(load<u32>(codes + (<usize>i << 2)), v - 1) * row;
    const length = max<f32>(rowLength(e, d), 1e-12);
    for (let j: usize = 0; j < row; j += 4) store<f32>(y + j, load<f32>(e + j) / length);
    y += row;
  }
}
