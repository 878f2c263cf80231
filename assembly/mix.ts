// @further
// y[m] = (1 - share[m])·x[m] + share[m]·z[m]
export function mix_forward(x: usize, z: usize, share: usize, y: usize, m: i32, d: i32): void {
  for (let i = 0; i < m; i++, share += 4) {
    const s = load<f32>(share);
    for (let j = 0; j < d; j++, x += 4, z += 4, y += 4) store<f32>(y, (1 - s) * load<f32>(x) + s * load<f32>(z));
  }
}
