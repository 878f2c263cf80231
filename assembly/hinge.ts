// @train
// y = scale·Σ max(0, 1 - sign·x), or with linear -scale·Σ sign·x

export function hinge_forward(x: usize, y: usize, n: i32, sign: f32, scale: f32, linear: i32): void {
  const end = x + ((<usize>n) << 2);
  let sum: f64 = 0;
  for (; x < end; x += 4) {
    const v = sign * load<f32>(x);
    sum += linear ? -v : max<f32>(0, 1 - v);
  }
  store<f32>(y, <f32>sum * scale);
}

export function hinge_backward(x: usize, loss_scale: usize, dx: usize, n: i32, sign: f32, scale: f32, linear: i32): void {
  const slope: f32 = -sign * scale * (loss_scale ? load<f32>(loss_scale) : 1);
  const end = (<usize>n) << 2;
  for (let q: usize = 0; q < end; q += 4) store<f32>(dx + q, linear != 0 || 1 - sign * load<f32>(x + q) > 0 ? slope : 0);
}
