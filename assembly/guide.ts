// y = u + (c - u)·scale. c is the first b rows of logits and u is the last b rows.
export function guide_forward(logits: usize, y: usize, m: i32, v: i32, b: i32, scale: f32): void {
  const bytes = (<usize>b * <usize>v) << 2;
  const un = logits + bytes;
  const w = f32x4.splat(scale);
  let q: usize = 0;
  for (; q + 16 <= bytes; q += 16) {
    const u = v128.load(un + q);
    v128.store(y + q, f32x4.add(u, f32x4.mul(f32x4.sub(v128.load(logits + q), u), w)));
  }
  for (; q < bytes; q += 4) {
    const u = load<f32>(un + q);
    store<f32>(y + q, u + (load<f32>(logits + q) - u) * scale);
  }
}
