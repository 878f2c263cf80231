// @train
// y = x for x > 0, else slope·x. Backward: dx = dy for y > 0, else slope·dy.

export function leaky_relu_forward(x: usize, y: usize, n: i32, slope: f32): void {
  apply(x, x, y, n, slope);
}

export function leaky_relu_backward(y: usize, dy: usize, dx: usize, n: i32, slope: f32): void {
  apply(y, dy, dx, n, slope);
}

/** to = from where sign > 0, else slope·from. */
function apply(sign: usize, from: usize, to: usize, n: i32, slope: f32): void {
  const end = (<usize>n) << 2;
  const zero = f32x4.splat(0), by = f32x4.splat(slope);
  let q: usize = 0;
  for (; q + 16 <= end; q += 16) {
    const v = v128.load(from + q);
    v128.store(to + q, v128.bitselect(v, f32x4.mul(v, by), f32x4.gt(v128.load(sign + q), zero)));
  }
  for (; q < end; q += 4) {
    const v = load<f32>(from + q);
    store<f32>(to + q, load<f32>(sign + q) > 0 ? v : slope * v);
  }
}
