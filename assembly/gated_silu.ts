// @further
// y = value·SiLU(gate), with [value | gate] = x
import { silu1, silu4, siluGradient1, siluGradient4 } from './lib/math';

export function gated_silu_forward(x: usize, y: usize, m: i32, n: i32): void {
  const row = <usize>n << 2;
  for (let i = 0; i < m; i++, x += 2 * row, y += row) {
    let q: usize = 0;
    for (; q + 16 <= row; q += 16) v128.store(y + q, f32x4.mul(v128.load(x + q), silu4(v128.load(x + row + q))));
    for (; q < row; q += 4) store<f32>(y + q, load<f32>(x + q) * silu1(load<f32>(x + row + q)));
  }
}

// forward: y = value·SiLU(gate)  ⇒  dvalue = dy·SiLU(gate), dgate = dy·value·SiLU'(gate)
export function gated_silu_backward(x: usize, dy: usize, dx: usize, m: i32, n: i32): void {
  const row = <usize>n << 2;
  for (let i = 0; i < m; i++, x += 2 * row, dx += 2 * row, dy += row) {
    let q: usize = 0;
    for (; q + 16 <= row; q += 16) {
      const value = v128.load(x + q), gate = v128.load(x + row + q), g = v128.load(dy + q);
      v128.store(dx + q, f32x4.mul(g, silu4(gate)));
      v128.store(dx + row + q, siluGradient4(gate, f32x4.mul(g, value)));
    }
    for (; q < row; q += 4) {
      const value = load<f32>(x + q), gate = load<f32>(x + row + q), g = load<f32>(dy + q);
      store<f32>(dx + q, g * silu1(gate));
      store<f32>(dx + row + q, siluGradient1(gate, g * value));
    }
  }
}
