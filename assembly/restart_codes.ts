// @train
// age[v] += 1, and where it reaches patience: codebook[v] = z[draw]·‖codebook[v]‖/‖z[draw]‖, m[v] = s[v] = 0, ema[v] = codebook[v]
import { rowLength } from './lib/math';
import { threefry2x32 } from './lib/threefry';

export function restart_codes_forward(
  z: usize, draw: usize, age: usize, codebook: usize, m: usize, s: usize, ema: usize, restarted: usize,
  r: i32, d: i32, v: i32, patience: i32,
): void {
  const row = <usize>d << 2;
  for (let i = 0; i < v; i++) {
    const at = <usize>i << 2, to = <usize>i * row;
    const steps = load<f32>(age + at) + 1;
    const dead = steps >= <f32>patience;
    store<f32>(restarted + at, dead ? 1 : 0);
    store<f32>(age + at, dead ? 0 : steps);
    if (!dead) continue;
    const word = <u32>(threefry2x32(load<u32>(draw), load<u32>(draw, 4), load<u32>(draw, 8), i) >> 32);
    const from = z + <usize>(word % <u32>r) * row, e = codebook + to;
    const scale = rowLength(e, d) / max<f32>(rowLength(from, d), 1e-12);
    for (let j: usize = 0; j < row; j += 4) store<f32>(e + j, load<f32>(from + j) * scale);
    memory.fill(m + to, 0, row);
    memory.fill(s + to, 0, row);
    if (ema) memory.copy(ema + to, e, row);
  }
}
