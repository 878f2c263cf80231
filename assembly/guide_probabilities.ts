// y = ln max(0, p), p = u + (c - u)·w with u, c = softmax of the logits. c is the first b rows of logits and u is the last b rows.
import { guideScale } from './lib/guide_scale';
import { exp1 } from './lib/math';

const LEAST: f32 = 1.17549435e-38;
const NONE: f32 = -1e30;

export function guide_probabilities_forward(
  logits: usize, scales: usize, step: usize, y: usize,
  m: i32, v: i32, t: i32, b: i32, scale: f32,
): void {
  const row = (<usize>v) << 2;
  const half = <usize>b * row;
  for (let i = 0; i < b; i++, logits += row, y += row) {
    const w = guideScale(i, scales, step, t, scale);
    const cm = largest(logits, row), um = largest(logits + half, row);
    const cz = total(logits, row, cm), uz = total(logits + half, row, um);
    for (let q: usize = 0; q < row; q += 4) {
      const u = exp1(load<f32>(logits + half + q) - um) / uz;
      const p = u + (exp1(load<f32>(logits + q) - cm) / cz - u) * w;
      // NaN is neither, so that it stays.
      store<f32>(y + q, p < LEAST ? NONE : Mathf.log(p));
    }
  }
}

function largest(x: usize, row: usize): f32 {
  let most = -f32.MAX_VALUE;
  for (let q: usize = 0; q < row; q += 4) most = max<f32>(most, load<f32>(x + q));
  return most;
}

function total(x: usize, row: usize, most: f32): f32 {
  let sum: f64 = 0;
  for (let q: usize = 0; q < row; q += 4) sum += <f64>exp1(load<f32>(x + q) - most);
  return <f32>sum;
}
