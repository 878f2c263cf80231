// sum[i,j] = Σₖ a(i,k)·b(j,k) for a 128×128 tile, factors rounded to f16 and summed in f32 by the adapter's 16×16×16 matrix
// units; four subgroups of 32 threads make 64×64 sums each, slices of 32 k go through workgroup memory.
// For products of at least 128 rows and columns. The including entry gives the operands and takes the sums:
//   fn a4(i: u32, k: u32) -> vec4f, fn b4(j: u32, k: u32) -> vec4f: elements k..k+3 of a row where A_ALONG_K, B_ALONG_K is 1,
//     else the elements k of rows i..i+3; always inside, so that nothing need be checked
//   fn put4(i: u32, j: u32, sums: vec4f): called once for every four sums j..j+3 of row i; columns are a multiple of 4
// A tile that would pass the last row or column is moved back, and leaves out what the tile before it puts. Of a k range that
// is not whole slices the first is cut short (by multiples of 4 where an operand is contiguous along k).
// Rows in workgroup memory are two vectors longer than a slice: then loads do not meet in a bank.
// Indices are taken modulo sizes that they do not reach, so that compilers see that they need no clamping.
const TILE_THREADS = 128u;
const SLICE = 32u;
const A_ROWS = select(SLICE, TILE, A_ALONG_K == 1u);
const B_ROWS = select(SLICE, TILE, B_ALONG_K == 1u);
const A_VECTORS = TILE * SLICE / 4u / A_ROWS;
const B_VECTORS = TILE * SLICE / 4u / B_ROWS;
const A_PITCH = A_VECTORS + 2u;
const B_PITCH = B_VECTORS + 2u;
var<workgroup> tile_a: array<vec4<f16>, A_PITCH * A_ROWS>;
var<workgroup> tile_b: array<vec4<f16>, B_PITCH * B_ROWS>;
var<workgroup> tile_sums: array<f32, 1024>;

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sums = subgroup_matrix_result<f32, 16, 16>;

// The 16×16 factors at row i, element k of the slice.
fn left(i: u32, k: u32) -> Left {
  if (A_ALONG_K == 1u) { return subgroupMatrixLoad<Left, row_major>(&tile_a, i % TILE * A_PITCH + k % SLICE / 4u, A_PITCH); }
  return subgroupMatrixLoad<Left, col_major>(&tile_a, k % SLICE * A_PITCH + i % TILE / 4u, A_PITCH);
}
fn right(j: u32, k: u32) -> Right {
  if (B_ALONG_K == 1u) { return subgroupMatrixLoad<Right, col_major>(&tile_b, j % TILE * B_PITCH + k % SLICE / 4u, B_PITCH); }
  return subgroupMatrixLoad<Right, row_major>(&tile_b, k % SLICE * B_PITCH + j % TILE / 4u, B_PITCH);
}

// Row (x) and vector (y) of the slice in workgroup memory that a thread copies in pass p of eight.
fn copied(along_k: u32, p: u32, lid: u32) -> vec2u {
  return select(vec2u(lid / 32u + p * 4u, lid % 32u), vec2u(lid / 8u + p * 16u, lid % 8u), along_k == 1u);
}
fn element_a(i: u32, k: u32, at: vec2u) -> vec4f {
  if (A_ALONG_K == 1u) { return a4(i + at.x, k + at.y * 4u); }
  return a4(i + at.y * 4u, k + at.x);
}
fn element_b(j: u32, k: u32, at: vec2u) -> vec4f {
  if (B_ALONG_K == 1u) { return b4(j + at.x, k + at.y * 4u); }
  return b4(j + at.y * 4u, k + at.x);
}

// Puts what the four subgroups hold of their block (r, c). Barriers: every thread must come here.
fn put_block(sums: Sums, r: u32, c: u32, i0: u32, j0: u32, from_i: u32, from_j: u32, warp: u32, thread: u32) {
  let lid = thread % TILE_THREADS;
  subgroupMatrixStore<row_major>(&tile_sums, warp % 4u * 256u, sums, 16u);
  workgroupBarrier();
  let i = i0 + lid / 64u * 64u + r * 16u + lid % 32u / 4u;
  let j = j0 + lid / 32u % 2u * 64u + c * 16u + lid % 4u * 4u;
  for (var e = 0u; e < 2u; e++) {
    let at = lid / 32u * 256u + e * 128u + lid % 32u * 4u;
    if (i + e * 8u >= from_i && j >= from_j) {
      put4(i + e * 8u, j, vec4f(tile_sums[at], tile_sums[at + 1u], tile_sums[at + 2u], tile_sums[at + 3u]));
    }
  }
  workgroupBarrier();
}

// The tile whose first sum is (from_i, from_j), of `rows` × `columns` in all.
fn tile(from_i: u32, from_j: u32, rows: u32, columns: u32, k0: u32, k1: u32, warp: u32, lid: u32) {
  let i0 = min(from_i, rows - TILE);
  let j0 = min(from_j, columns - TILE);
  let wi = warp / 2u % 2u * 64u;
  let wj = warp % 2u * 64u;
  let slices = (k1 - k0 + SLICE - 1u) / SLICE;
  let first = k1 - k0 - max(slices, 1u) * SLICE + SLICE;
  let last = max(k1, SLICE) - SLICE;
  var next_a: array<vec4f, 8>;
  var next_b: array<vec4f, 8>;
  for (var p = 0u; p < 8u; p++) {
    let a = copied(A_ALONG_K, p, lid);
    let b = copied(B_ALONG_K, p, lid);
    let k = min(k0, last);
    // Moved back where the whole range is shorter than a slice; zeros in one factor are enough.
    let ka = k + select(a.x, a.y * 4u, A_ALONG_K == 1u);
    next_a[p] = select(vec4f(), element_a(i0, k, a), ka >= k0 && ka < k0 + first);
    next_b[p] = element_b(j0, k, b);
  }
  var c00: Sums; var c01: Sums; var c02: Sums; var c03: Sums;
  var c10: Sums; var c11: Sums; var c12: Sums; var c13: Sums;
  var c20: Sums; var c21: Sums; var c22: Sums; var c23: Sums;
  var c30: Sums; var c31: Sums; var c32: Sums; var c33: Sums;
  // A counted loop, though compilers cannot see it end: with a break the products are slower on an H200 (docs/measurements.md).
  for (var s = 0u; s < slices; s++) {
    for (var p = 0u; p < 8u; p++) {
      let a = copied(A_ALONG_K, p, lid);
      let b = copied(B_ALONG_K, p, lid);
      tile_a[a.x % A_ROWS * A_PITCH + a.y % A_VECTORS] = vec4<f16>(next_a[p]);
      tile_b[b.x % B_ROWS * B_PITCH + b.y % B_VECTORS] = vec4<f16>(next_b[p]);
    }
    workgroupBarrier();
    // On its way while the products are made; after the last slice for nothing.
    let k = min(k0 + first + s * SLICE, last);
    for (var p = 0u; p < 8u; p++) {
      next_a[p] = element_a(i0, k, copied(A_ALONG_K, p, lid));
      next_b[p] = element_b(j0, k, copied(B_ALONG_K, p, lid));
    }
    // SLICE holds two steps of 16.
#repeat lap 2
    {
      let q = $lap * 16u;
      let b0 = right(wj, q);
      let b1 = right(wj + 16u, q);
      let b2 = right(wj + 32u, q);
      let b3 = right(wj + 48u, q);
      let a0 = left(wi, q);
      c00 = subgroupMatrixMultiplyAccumulate(a0, b0, c00);
      c01 = subgroupMatrixMultiplyAccumulate(a0, b1, c01);
      c02 = subgroupMatrixMultiplyAccumulate(a0, b2, c02);
      c03 = subgroupMatrixMultiplyAccumulate(a0, b3, c03);
      let a1 = left(wi + 16u, q);
      c10 = subgroupMatrixMultiplyAccumulate(a1, b0, c10);
      c11 = subgroupMatrixMultiplyAccumulate(a1, b1, c11);
      c12 = subgroupMatrixMultiplyAccumulate(a1, b2, c12);
      c13 = subgroupMatrixMultiplyAccumulate(a1, b3, c13);
      let a2 = left(wi + 32u, q);
      c20 = subgroupMatrixMultiplyAccumulate(a2, b0, c20);
      c21 = subgroupMatrixMultiplyAccumulate(a2, b1, c21);
      c22 = subgroupMatrixMultiplyAccumulate(a2, b2, c22);
      c23 = subgroupMatrixMultiplyAccumulate(a2, b3, c23);
      let a3 = left(wi + 48u, q);
      c30 = subgroupMatrixMultiplyAccumulate(a3, b0, c30);
      c31 = subgroupMatrixMultiplyAccumulate(a3, b1, c31);
      c32 = subgroupMatrixMultiplyAccumulate(a3, b2, c32);
      c33 = subgroupMatrixMultiplyAccumulate(a3, b3, c33);
    }
#end
    workgroupBarrier();
  }
  put_block(c00, 0u, 0u, i0, j0, from_i, from_j, warp, lid);
  put_block(c01, 0u, 1u, i0, j0, from_i, from_j, warp, lid);
  put_block(c02, 0u, 2u, i0, j0, from_i, from_j, warp, lid);
  put_block(c03, 0u, 3u, i0, j0, from_i, from_j, warp, lid);
  put_block(c10, 1u, 0u, i0, j0, from_i, from_j, warp, lid);
  put_block(c11, 1u, 1u, i0, j0, from_i, from_j, warp, lid);
  put_block(c12, 1u, 2u, i0, j0, from_i, from_j, warp, lid);
  put_block(c13, 1u, 3u, i0, j0, from_i, from_j, warp, lid);
  put_block(c20, 2u, 0u, i0, j0, from_i, from_j, warp, lid);
  put_block(c21, 2u, 1u, i0, j0, from_i, from_j, warp, lid);
  put_block(c22, 2u, 2u, i0, j0, from_i, from_j, warp, lid);
  put_block(c23, 2u, 3u, i0, j0, from_i, from_j, warp, lid);
  put_block(c30, 3u, 0u, i0, j0, from_i, from_j, warp, lid);
  put_block(c31, 3u, 1u, i0, j0, from_i, from_j, warp, lid);
  put_block(c32, 3u, 2u, i0, j0, from_i, from_j, warp, lid);
  put_block(c33, 3u, 3u, i0, j0, from_i, from_j, warp, lid);
}
