// @train
// y += factor[0]·x
export function add_scaled_forward(x: usize, factor: usize, y: usize, n: i32): void {
  const by = load<f32>(factor), end = (<usize>n) << 2;
  const all = f32x4.splat(by);
  let q: usize = 0;
  for (; q + 16 <= end; q += 16) v128.store(y + q, f32x4.add(v128.load(y + q), f32x4.mul(all, v128.load(x + q))));
  for (; q < end; q += 4) store<f32>(y + q, load<f32>(y + q) + by * load<f32>(x + q));
}
