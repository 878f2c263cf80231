// codes[r] = argminᵥ ‖ẑ[r] - ê[v]‖². The hat divides a row by its length, and the lowest v wins between equal distances.
// The codebook is normalised and transposed once, so that a vector holds one element of four codes.
import { rowLength } from './lib/math';
import { begin } from './lib/split';

/** Bytes for the packed codebook and one row. */
export function quantize_forward_scratch(_r: i32, d: i32, v: i32): usize {
  return (<usize>((v + 3) & ~3) + 1) * (<usize>d << 2);
}

export function quantize_forward(
  z: usize, codebook: usize, codes: usize, distance: usize,
  r: i32, d: i32, v: i32, scratch: usize, part: i32, parts: i32,
): void {
  const row = <usize>d << 2;
  const end = scratch + <usize>((v + 3) & ~3) * row;
  pack(codebook, v, d, scratch);
  for (let i = begin(r, 1, part, parts), last = begin(r, 1, part + 1, parts); i < last; i++) {
    unit(z + <usize>i * row, d, end, 4);
    let best = f32x4.splat(f32.MAX_VALUE), code = i32x4.splat(0), here = i32x4(0, 1, 2, 3);
    for (let p = scratch; p < end;) {
      let sum = f32x4.splat(0);
      for (let q = end, stop = end + row; q < stop; q += 4) {
        const x = f32x4.sub(v128.load32_splat(q), v128.load(p));
        sum = f32x4.add(sum, f32x4.mul(x, x));
        p += 16;
      }
      const nearer = f32x4.lt(sum, best);
      best = v128.bitselect(sum, best, nearer);
      code = v128.bitselect(here, code, nearer);
      here = i32x4.add(here, i32x4.splat(4));
    }
    let least = f32x4.extract_lane(best, 0), which = i32x4.extract_lane(code, 0);
    for (let n = 1; n < 4; n++) {
      best = i8x16.shuffle(best, best, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
      code = i8x16.shuffle(code, code, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
      const l = f32x4.extract_lane(best, 0), w = i32x4.extract_lane(code, 0);
      if (l < least || (l == least && w < which)) {
        least = l;
        which = w;
      }
    }
    store<i32>(codes + (<usize>i << 2), which);
    if (distance) store<f32>(distance + (<usize>i << 2), least);
  }
}

/** Bytes for a gradient of the codebook and two rows. */
export function quantize_backward_scratch(_r: i32, d: i32, v: i32, _codebookWeight: f32, _commitmentWeight: f32): usize {
  return (<usize>v + 2) * (<usize>d << 2);
}

// forward: y = ẑ + sg(ê - ẑ); loss += codebook_weight·mean((ê - sg ẑ)²) + commitment_weight·mean((ẑ - sg ê)²)
// ⇒  dẑ = dy + commitment_weight·2(ẑ - ê)/(r·d), dê = codebook_weight·Σ 2(ê - ẑ)/(r·d) over the rows of that code
export function quantize_backward(
  z: usize, codebook: usize, codes: usize, dy: usize, loss_scale: usize, dz: usize, dcodebook: usize,
  r: i32, d: i32, v: i32, codebookWeight: f32, commitmentWeight: f32, scratch: usize,
): void {
  const row = <usize>d << 2;
  const u = scratch + <usize>v * row, e = u + row;
  let mean = <f32>(2 / (<f64>r * d));
  if (loss_scale) mean *= load<f32>(loss_scale);
  memory.fill(scratch, 0, <usize>v * row);
  for (let i = 0; i < r; i++) {
    const code = <usize>min<u32>(load<u32>(codes + (<usize>i << 2)), v - 1) * row;
    unit(z, d, u, 4);
    unit(codebook + code, d, e, 4);
    const sums = scratch + code;
    for (let j: usize = 0; j < row; j += 4) {
      const difference = load<f32>(e + j) - load<f32>(u + j);
      store<f32>(sums + j, load<f32>(sums + j) + difference);
      store<f32>(dz + j, load<f32>(dy + j) - commitmentWeight * mean * difference);
    }
    through(z, u, d, dz);
    z += row;
    dy += row;
    dz += row;
  }
  for (let i = 0; i < v; i++) {
    const g = scratch + <usize>i * row;
    for (let j: usize = 0; j < row; j += 4) store<f32>(g + j, codebookWeight * mean * load<f32>(g + j));
    unit(codebook, d, e, 4);
    through(codebook, e, d, g);
    for (let j: usize = 0; j < row; j += 4) store<f32>(dcodebook + j, load<f32>(dcodebook + j) + load<f32>(g + j));
    codebook += row;
    dcodebook += row;
  }
}

// forward: u = x/‖x‖  ⇒  dx = (du - u·(u·du))/‖x‖. A row that is too short to be normalised was only scaled. Works in place.
function through(x: usize, u: usize, d: i32, g: usize): void {
  const length = rowLength(x, d), row = <usize>d << 2;
  let along: f32 = 0;
  if (length > 1e-12) for (let j: usize = 0; j < row; j += 4) along += load<f32>(u + j) * load<f32>(g + j);
  const scale: f32 = 1 / max<f32>(length, 1e-12);
  for (let j: usize = 0; j < row; j += 4) store<f32>(g + j, (load<f32>(g + j) - load<f32>(u + j) * along) * scale);
}

/** Packs rows of unit length, four codes in a vector. The unused places are filled with vectors too far away to be chosen. */
function pack(codebook: usize, v: i32, d: i32, out: usize): void {
  const row = <usize>d << 2;
  for (let i = 0, all = (v + 3) & ~3; i < all; i++) {
    const to = out + <usize>(i & ~3) * row + (<usize>(i & 3) << 2);
    if (i < v) unit(codebook + <usize>i * row, d, to, 16);
    else for (let j = 0; j < d; j++) store<f32>(to + (<usize>j << 4), 1e15);
  }
}

/** out = x/max(‖x‖, 1e-12). Elements of `out` are `step` bytes apart. */
function unit(x: usize, d: i32, out: usize, step: usize): void {
  const scale: f32 = 1 / max<f32>(rowLength(x, d), 1e-12);
  for (let j = 0; j < d; j++) store<f32>(out + <usize>j * step, load<f32>(x + (<usize>j << 2)) * scale);
}
