// @further
// w = scales[step];  y = u + (c - u)·w or, with `probabilities`, y = ln max(0, p) with p = u + (c - u)·w of their softmaxes.
// c is the first b rows of logits and u is the last b rows.
import { exp1 } from './lib/math';

const LEAST: f32 = 1.17549435e-38;
const NONE: f32 = -1e30;

export function guide_by_position_forward(
  logits: usize, scales: usize, step: usize, y: usize,
  m: i32, v: i32, t: i32, b: i32, probabilities: i32,
): void {
  const row = (<usize>v) << 2;
  const half = <usize>b * row;
  for (let i = 0; i < b; i++, logits += row, y += row, step += 4) {
    const w = load<f32>(scales + (<usize>min<u32>(load<u32>(step), <u32>t - 1) << 2));
    const un = logits + half;
    let cm: f32 = 0, um = cm, cz = cm, uz = cm;
    if (probabilities) {
      cm = largest(logits, row);
      um = largest(un, row);
      cz = total(logits, row, cm);
      uz = total(un, row, um);
    }
    for (let q: usize = 0; q < row; q += 4) {
      let c = load<f32>(logits + q), u = load<f32>(un + q);
      if (probabilities) {
        c = exp(c - cm) / cz;
        u = exp(u - um) / uz;
      }
      const p = u + (c - u) * w;
      // NaN is neither, so that it stays.
      store<f32>(y + q, !probabilities ? p : p < LEAST ? NONE : Mathf.log(p));
    }
  }
}

// One copy of the code, not one for each call.
function exp(x: f32): f32 {
  return exp1(x);
}

function largest(x: usize, row: usize): f32 {
  let most = -f32.MAX_VALUE;
  for (let q: usize = 0; q < row; q += 4) most = max<f32>(most, load<f32>(x + q));
  return most;
}

function total(x: usize, row: usize, most: f32): f32 {
  let sum: f64 = 0;
  for (let q: usize = 0; q < row; q += 4) sum += <f64>exp(load<f32>(x + q) - most);
  return <f32>sum;
}
