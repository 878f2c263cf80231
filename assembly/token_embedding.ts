// q = step[i mod b] + j;  y[i,j] = q = 0 ? first[i] : word[tokens[i mod b, q-1]] + pos[q-1+shift].
import { addTo } from './lib/math';

export function token_embedding_forward(
  tokens: usize, step: usize, first: usize, word: usize, pos: usize, y: usize,
  b: i32, t: i32, m: i32, d: i32, v: i32, p: i32, l: i32, shift: i32,
): void {
  const row = (<usize>d) << 2;
  for (let i = 0; i < m; i++) {
    const image = i % b;
    for (let j = 0; j < l; j++, y += row) {
      const q = load<u32>(step + (<usize>image << 2)) + j;
      if (q == 0) {
        memory.copy(y, first + <usize>i * row, row);
        continue;
      }
      const before = min<u32>(q - 1, <u32>t - 1);
      const token = min<u32>(load<u32>(tokens + ((<usize>image * <usize>t + <usize>before) << 2)), <u32>v - 1);
      const w = word + <usize>token * row;
      const at = pos + <usize>min<u32>(before + shift, <u32>p - 1) * row;
      let k: usize = 0;
      for (; k + 16 <= row; k += 16) v128.store(y + k, f32x4.add(v128.load(w + k), v128.load(at + k)));
      for (; k < row; k += 4) store<f32>(y + k, load<f32>(w + k) + load<f32>(at + k));
    }
  }
}

// forward: y[i,0] = first[i]  ⇒  dfirst[i] = dy[i,0]
export function token_embedding_backward_first(dy: usize, dfirst: usize, m: i32, l: i32, d: i32): void {
  const row = (<usize>d) << 2;
  for (let i = 0; i < m; i++, dy += <usize>l * row, dfirst += row) memory.copy(dfirst, dy, row);
}

// forward: y[i,q] = word[tokens[i,q-1]] + pos[q-1]  ⇒  dword[tokens[i,q-1]] += dy[i,q]
export function token_embedding_backward_word(
  tokens: usize, dy: usize, dword: usize,
  m: i32, t: i32, l: i32, d: i32, v: i32,
): void {
  const row = (<usize>d) << 2;
  for (let i = 0; i < m; i++, tokens += (<usize>t) << 2) {
    dy += row;
    for (let q = 1; q < l; q++, dy += row) {
      const token = min<u32>(load<u32>(tokens + (<usize>(q - 1) << 2)), <u32>v - 1);
      addTo(dword + <usize>token * row, dy, row);
    }
  }
}

// forward: y[i,q] = word[tokens[i,q-1]] + pos[q-1]  ⇒  dpos[q-1] += dy[i,q]
export function token_embedding_backward_pos(dy: usize, dpos: usize, m: i32, l: i32, d: i32, p: i32): void {
  const row = (<usize>d) << 2;
  for (let i = 0; i < m; i++, dy += <usize>l * row) addTo(dpos, dy + row, <usize>(l - 1) * row);
}
