// The same as tile.wgsl for TILE = 128: 128 threads make 8×16 sums each in about 200 registers. Slices of 8 k go through 8 KiB of
// workgroup memory, and the next slice is loaded meanwhile. A third faster on GPUs whose threads have that many registers.
// The rows of a thread are 16 apart, its columns 8: a warp of 4×8 threads reads 4 and 8 neighbours at once. The two vectors of a
// row are swapped every four rows, so that neither stores nor loads have bank conflicts.
// Sums are written out: where an array of them has an index that is not constant, all its registers go to memory.
// Indices are taken modulo array sizes, which they never reach, so that compilers need not clamp them.
const TILE_THREADS = 128u;
var<workgroup> tile_a: array<array<array<vec4f, 2>, 16>, 8>;
var<workgroup> tile_b: array<array<array<vec4f, 2>, 8>, 16>;

#include "mac.wgsl"

// Row and vector that a thread copies in pass p of two.
fn copied(along_k: u32, p: u32, lid: u32) -> vec2u {
  return select(vec2u(lid, p), vec2u(lid / 2u + p * 64u, lid % 2u), along_k == 1u);
}

// Adds 16 products to the sums of a row.
fn mac64(sums: mat4x4f, a: vec4f, b: array<vec4f, 16>) -> mat4x4f {
  return mat4x4f(
    mac16(sums[0], a, b[0], b[1], b[2], b[3]),
    mac16(sums[1], a, b[4], b[5], b[6], b[7]),
    mac16(sums[2], a, b[8], b[9], b[10], b[11]),
    mac16(sums[3], a, b[12], b[13], b[14], b[15]),
  );
}

fn put4(i: u32, j: u32, sums: vec4f) {
  put(i, j, sums.x);
  put(i, j + 8u, sums.y);
  put(i, j + 16u, sums.z);
  put(i, j + 24u, sums.w);
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
#repeat r 8
  var sums$r = mat4x4f();
#end
  for (var lap = 0u; lap < MOST; lap++) { let k = k0 + lap * 8u; if (!(k < k1)) { break; }
    tile_a[a0.x % TILE / 16u][a0.x % 16u][(a0.y ^ (a0.x / 4u)) % 2u] = next_a0;
    tile_a[a1.x % TILE / 16u][a1.x % 16u][(a1.y ^ (a1.x / 4u)) % 2u] = next_a1;
    tile_b[b0.x % TILE / 8u][b0.x % 8u][(b0.y ^ (b0.x / 4u)) % 2u] = next_b0;
    tile_b[b1.x % TILE / 8u][b1.x % 8u][(b1.y ^ (b1.x / 4u)) % 2u] = next_b1;
    workgroupBarrier();
    next_a0 = a4(i0 + a0.x, k + 8u + a0.y * 4u);
    next_a1 = a4(i0 + a1.x, k + 8u + a1.y * 4u);
    next_b0 = b4(j0 + b0.x, k + 8u + b0.y * 4u);
    next_b1 = b4(j0 + b1.x, k + 8u + b1.y * 4u);
#repeat half 2
    {
      let vector = vec2u(si, sj) ^ vec2u($half);
      let b = array<vec4f, 16>(
#repeat c 16
        tile_b[$c][tj][vector.y % 2u],
#end
      );
#repeat r 8
      sums$r = mac64(sums$r, tile_a[$r][ti][vector.x % 2u], b);
#end
    }
#end
    workgroupBarrier();
  }
#repeat r 8
#repeat c 4
  put4(i0 + ti + 16 * $r, j0 + tj + 32 * $c, sums$r[$c]);
#end
#end
}
