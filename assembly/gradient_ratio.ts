// @train
// y = scale·min(most, A/(B + eps)) with the norms A = √Σa/s and B = √Σb/s, or scale if they are not finite
export function gradient_ratio_forward(
  a: usize, b: usize, loss_scale: usize, y: usize, p: i32, q: i32, scale: f32, eps: f32, most: f32,
): void {
  const s: f32 = loss_scale ? load<f32>(loss_scale) : 1;
  const first = norm(a, p, s), second = norm(b, q, s);
  store<f32>(y, isFinite<f32>(first + second) ? scale * min<f32>(most, first / (second + eps)) : scale);
}

function norm(sums: usize, n: i32, s: f32): f32 {
  let all: f64 = 0;
  for (let i = 0; i < n; i++) all += load<f32>(sums + (<usize>i << 2));
  return <f32>sqrt<f64>(all) / s;
}
