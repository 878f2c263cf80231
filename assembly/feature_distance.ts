// @train
// y[m] = Σ_c weight[c]·(x̂[m,c] - t̂[m,c])², where the hat divides a row by its length + 1e-10

const EPSILON: f32 = 1e-10;

export function feature_distance_forward(x: usize, truth: usize, weight: usize, y: usize, m: i32, c: i32): void {
  const row = <usize>c << 2;
  for (let i = 0; i < m; i++, x += row, truth += row, y += 4) {
    const rx: f32 = 1 / (length(x, row) + EPSILON), rt: f32 = 1 / (length(truth, row) + EPSILON);
    let sum: f32 = 0;
    for (let j: usize = 0; j < row; j += 4) {
      const d = load<f32>(x + j) * rx - load<f32>(truth + j) * rt;
      sum += (weight ? load<f32>(weight + j) : 1) * d * d;
    }
    store<f32>(y, sum);
  }
}

// forward: unit = x/(length + ε), y = Σ weight·(unit - want)²
// ⇒  dunit = 2·weight·(unit - want), dx = dunit/(length + ε) - unit·Σ(dunit·unit)/length
export function feature_distance_backward(
  x: usize, truth: usize, weight: usize, loss_scale: usize, dx: usize, m: i32, c: i32, scale: f32,
): void {
  const row = <usize>c << 2;
  const twice: f32 = 2 * scale * (loss_scale ? load<f32>(loss_scale) : 1);
  for (let i = 0; i < m; i++, x += row, truth += row, dx += row) {
    const l = length(x, row);
    const rx: f32 = 1 / (l + EPSILON), rt: f32 = 1 / (length(truth, row) + EPSILON);
    let along: f32 = 0;
    for (let j: usize = 0; j < row; j += 4) {
      const unit = load<f32>(x + j) * rx;
      const d = twice * (weight ? load<f32>(weight + j) : 1) * (unit - load<f32>(truth + j) * rt);
      store<f32>(dx + j, d);
      along += d * unit;
    }
    const back: f32 = l > 0 ? along / l : 0;
    for (let j: usize = 0; j < row; j += 4) store<f32>(dx + j, load<f32>(dx + j) * rx - load<f32>(x + j) * rx * back);
  }
}

// @ts-ignore: decorator
@inline function length(x: usize, row: usize): f32 {
  let sums = f32x4.splat(0);
  let j: usize = 0;
  for (; j + 16 <= row; j += 16) sums = f32x4.add(sums, f32x4.mul(v128.load(x + j), v128.load(x + j)));
  let square = f32x4.extract_lane(sums, 0) + f32x4.extract_lane(sums, 1) + f32x4.extract_lane(sums, 2) + f32x4.extract_lane(sums, 3);
  for (; j < row; j += 4) square += load<f32>(x + j) * load<f32>(x + j);
  return sqrt<f32>(square);
}
