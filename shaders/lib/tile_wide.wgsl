// The same as tile.wgsl for TILE = 128: 128 threads make 8×16 sums each in about 200 registers. Slices of 8 k go through 8 KiB of
// workgroup memory, and the next slice is loaded meanwhile. A third faster on GPUs whose threads have that many registers.
// The rows of a thread are 16 apart, its columns 8: a warp of 4×8 threads reads 4 and 8 neighbours at once. The two vectors of a
// row are swapped every four rows, so that neither stores nor loads have bank conflicts.
// Indices are taken modulo array sizes, which they never reach, so that compilers need not clamp them.
const TILE_THREADS = 128u;
var<workgroup> tile_a: array<array<array<vec4f, 2>, 16>, 8>;
var<workgroup> tile_b: array<array<array<vec4f, 2>, 8>, 16>;

fn mac4(sum: f32, a: vec4f, b: vec4f) -> f32 { return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum)))); }

// Row and vector that a thread copies in pass p of two.
fn copied(along_k: u32, p: u32, lid: u32) -> vec2u {
  return select(vec2u(lid, p), vec2u(lid / 2u + p * 64u, lid % 2u), along_k == 1u);
}

// Stores one row of a thread's sums. Rows are written out one by one: an index that is not constant costs all their registers.
fn put_row(i: u32, j: u32, row: array<f32, 16>) {
  var values = row;
  for (var c = 0u; c < 16u; c++) { put(i, j + c * 8u, values[c]); }
}

fn tile(i0: u32, j0: u32, k0: u32, k1: u32, thread: u32) {
  let lid = thread % TILE_THREADS;
  let ti = lid / 32u * 4u + lid % 32u / 8u;
  let tj = lid % 8u;
  let si = ti / 4u % 2u;
  let sj = tj / 4u;
  let a0 = copied(A_ALONG_K, 0u, lid);
  let a1 = copied(A_ALONG_K, 1u, lid);
  let b0 = copied(B_ALONG_K, 0u, lid);
  let b1 = copied(B_ALONG_K, 1u, lid);
  var next_a0 = a4(i0 + a0.x, k0 + a0.y * 4u);
  var next_a1 = a4(i0 + a1.x, k0 + a1.y * 4u);
  var next_b0 = b4(j0 + b0.x, k0 + b0.y * 4u);
  var next_b1 = b4(j0 + b1.x, k0 + b1.y * 4u);
  var sums: array<array<f32, 16>, 8>;
  for (var k = k0; k < k1; k += 8u) {
    tile_a[a0.x % TILE / 16u][a0.x % 16u][(a0.y ^ (a0.x / 4u)) % 2u] = next_a0;
    tile_a[a1.x % TILE / 16u][a1.x % 16u][(a1.y ^ (a1.x / 4u)) % 2u] = next_a1;
    tile_b[b0.x % TILE / 8u][b0.x % 8u][(b0.y ^ (b0.x / 4u)) % 2u] = next_b0;
    tile_b[b1.x % TILE / 8u][b1.x % 8u][(b1.y ^ (b1.x / 4u)) % 2u] = next_b1;
    workgroupBarrier();
    next_a0 = a4(i0 + a0.x, k + 8u + a0.y * 4u);
    next_a1 = a4(i0 + a1.x, k + 8u + a1.y * 4u);
    next_b0 = b4(j0 + b0.x, k + 8u + b0.y * 4u);
    next_b1 = b4(j0 + b1.x, k + 8u + b1.y * 4u);
    {
      var b = array<vec4f, 16>();
      for (var c = 0u; c < 16u; c++) { b[c] = tile_b[c][tj][sj]; }
      for (var r = 0u; r < 8u; r++) {
        let a = tile_a[r][ti][si];
        for (var c = 0u; c < 16u; c++) { sums[r][c] = mac4(sums[r][c], a, b[c]); }
      }
    }
    {
      var b = array<vec4f, 16>();
      for (var c = 0u; c < 16u; c++) { b[c] = tile_b[c][tj][1u - sj]; }
      for (var r = 0u; r < 8u; r++) {
        let a = tile_a[r][ti][1u - si];
        for (var c = 0u; c < 16u; c++) { sums[r][c] = mac4(sums[r][c], a, b[c]); }
      }
    }
    workgroupBarrier();
  }
  put_row(i0 + ti, j0 + tj, sums[0]);
  put_row(i0 + ti + 16u, j0 + tj, sums[1]);
  put_row(i0 + ti + 32u, j0 + tj, sums[2]);
  put_row(i0 + ti + 48u, j0 + tj, sums[3]);
  put_row(i0 + ti + 64u, j0 + tj, sums[4]);
  put_row(i0 + ti + 80u, j0 + tj, sums[5]);
  put_row(i0 + ti + 96u, j0 + tj, sums[6]);
  put_row(i0 + ti + 112u, j0 + tj, sums[7]);
}
