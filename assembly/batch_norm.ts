// @train
// y = (x - mean)/√(var + eps)·weight + bias over the m values of each channel. Sums over the rows are f64, for each channel.

/** Bytes for two f64 sums of each channel. */
export function batch_norm_forward_scratch(_m: i32, c: i32, _eps: f32): usize {
  return 16 * <usize>c;
}

export function batch_norm_forward(
  x: usize, weight: usize, bias: usize, y: usize, mean: usize, variance: usize, m: i32, c: i32, eps: f32, scratch: usize,
): void {
  const row = <usize>c << 2, end = <usize>m * row;
  memory.fill(scratch, 0, 4 * row);
  for (let p: usize = 0; p < end; p += row)
    for (let j: usize = 0; j < row; j += 4) add(scratch + 2 * j, load<f32>(x + p + j));
  for (let j: usize = 0; j < row; j += 4) store<f32>(mean + j, <f32>(load<f64>(scratch + 2 * j) / <f64>m));
  const squares = scratch + 2 * row;
  for (let p: usize = 0; p < end; p += row)
    for (let j: usize = 0; j < row; j += 4) {
      const d = <f64>(load<f32>(x + p + j) - load<f32>(mean + j));
      add(squares + 2 * j, d * d);
    }
  // The sums are no longer needed: scale = weight·rstd takes their place.
  for (let j: usize = 0; j < row; j += 4) {
    const square = load<f64>(squares + 2 * j);
    store<f32>(variance + j, <f32>(square / <f64>(m - 1)));
    store<f32>(scratch + j, <f32>(<f64>load<f32>(weight + j) / sqrt<f64>(square / <f64>m + <f64>eps)));
  }
  for (let p: usize = 0; p < end; p += row)
    for (let j: usize = 0; j < row; j += 4)
      store<f32>(y + p + j, (load<f32>(x + p + j) - load<f32>(mean + j)) * load<f32>(scratch + j) + load<f32>(bias + j));
}

/** Bytes for two f64 sums and one f32 of each channel. */
export function batch_norm_backward_scratch(_m: i32, c: i32, _eps: f32): usize {
  return 20 * <usize>c;
}

// forward: unit = (x - mean)·rstd, y = unit·weight + bias
// ⇒  dweight += Σ dy·unit, dbias += Σ dy, dx = weight·rstd·(dy - mean(dy) - unit·mean(dy·unit))
export function batch_norm_backward(
  x: usize, weight: usize, mean: usize, variance: usize, dy: usize, dx: usize, dweight: usize, dbias: usize,
  m: i32, c: i32, eps: f32, scratch: usize,
): void {
  const row = <usize>c << 2, end = <usize>m * row;
  const first = scratch, second = first + 2 * row, rstd = second + 2 * row;
  memory.fill(scratch, 0, 4 * row);
  for (let j: usize = 0; j < row; j += 4)
    store<f32>(rstd + j, <f32>(1 / sqrt<f64>(<f64>load<f32>(variance + j) * <f64>(m - 1) / <f64>m + <f64>eps)));
  for (let p: usize = 0; p < end; p += row)
    for (let j: usize = 0; j < row; j += 4) {
      const d = load<f32>(dy + p + j);
      add(first + 2 * j, d);
      add(second + 2 * j, <f64>d * <f64>((load<f32>(x + p + j) - load<f32>(mean + j)) * load<f32>(rstd + j)));
    }
  for (let j: usize = 0; j < row; j += 4) {
    if (dweight) store<f32>(dweight + j, load<f32>(dweight + j) + <f32>load<f64>(second + 2 * j));
    if (dbias) store<f32>(dbias + j, load<f32>(dbias + j) + <f32>load<f64>(first + 2 * j));
  }
  for (let p: usize = 0; p < end; p += row)
    for (let j: usize = 0; j < row; j += 4) {
      const r = load<f32>(rstd + j), unit = (load<f32>(x + p + j) - load<f32>(mean + j)) * r;
      const d = load<f32>(dy + p + j) - <f32>(load<f64>(first + 2 * j) / <f64>m) - unit * <f32>(load<f64>(second + 2 * j) / <f64>m);
      store<f32>(dx + p + j, load<f32>(weight + j) * r * d);
    }
}

// @ts-ignore: decorator
@inline function add(at: usize, v: f64): void {
  store<f64>(at, load<f64>(at) + v);
}
