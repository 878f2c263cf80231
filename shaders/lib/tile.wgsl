// sum[i,j] = Σₖ a(i,k)·b(j,k) for a tile of TILE × TILE = 64 × 64 sums (TILE is a constant of the plan, src/ops/tile.ts). 256 threads
// make 4×4 sums each; slices of 16 k go through workgroup memory. The including entry defines the operands and stores the sums:
//   fn a4(i: u32, k: u32) -> vec4f, fn b4(j: u32, k: u32) -> vec4f: elements k..k+3 of a row, zero outside
//   fn put(i: u32, j: u32, sum: f32): bounds-checked store
//   A_ALONG_K, B_ALONG_K: 1 if the operand is contiguous along k, 0 if along its rows; loads follow it so that they coalesce
// Rows in workgroup memory are five vectors apart, so that neither stores nor loads have bank conflicts.
// Products are added in the order of k, as in tile_wide.wgsl, so that both give the same result to the bit.
// Sums are held in vectors whose components are never chosen by a variable, which would take them out of the registers.
const TILE_THREADS = 256u;
var<workgroup> tile_a: array<vec4f, 320>;
var<workgroup> tile_b: array<vec4f, 320>;

#include "mac.wgsl"

// Indices are taken modulo array sizes, which they never reach, so that compilers need not clamp them.
fn tile(i0: u32, j0: u32, k0: u32, k1: u32, thread: u32) {
  let lid = thread % TILE_THREADS;
  let along = vec2u(lid / 4u, lid % 4u);
  let across = vec2u(lid % 64u, lid / 64u);
  let at_a = select(across, along, A_ALONG_K == 1u);
  let at_b = select(across, along, B_ALONG_K == 1u);
  let ti = lid / 16u;
  let tj = lid % 16u;
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  for (var lap = 0u; lap < MOST; lap++) { let k = k0 + lap * 16u; if (!(k < k1)) { break; }
    tile_a[at_a.x % TILE * 5u + at_a.y % 4u] = a4(i0 + at_a.x, k + at_a.y * 4u);
    tile_b[at_b.x % TILE * 5u + at_b.y % 4u] = b4(j0 + at_b.x, k + at_b.y * 4u);
    workgroupBarrier();
#repeat q 4
    {
      let b0 = tile_b[tj * 5u + $q];
      let b1 = tile_b[tj * 5u + 80u + $q];
      let b2 = tile_b[tj * 5u + 160u + $q];
      let b3 = tile_b[tj * 5u + 240u + $q];
      s0 = mac16(s0, tile_a[ti * 5u + $q], b0, b1, b2, b3);
      s1 = mac16(s1, tile_a[ti * 5u + 80u + $q], b0, b1, b2, b3);
      s2 = mac16(s2, tile_a[ti * 5u + 160u + $q], b0, b1, b2, b3);
      s3 = mac16(s3, tile_a[ti * 5u + 240u + $q], b0, b1, b2, b3);
    }
#end
    workgroupBarrier();
  }
#repeat r 4
  put(i0 + ti + 16 * $r, j0 + tj, s$r.x);
  put(i0 + ti + 16 * $r, j0 + tj + 16u, s$r.y);
  put(i0 + ti + 16 * $r, j0 + tj + 32u, s$r.z);
  put(i0 + ti + 16 * $r, j0 + tj + 48u, s$r.w);
#end
}
