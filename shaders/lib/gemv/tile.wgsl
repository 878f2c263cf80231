// sum[i,j] = Σₖ x_i[k]·w_j[k] for 16·ROWS rows of x and 64 rows of w. The order is that of sums.wgsl with shared.wgsl, so that
// the sums of a row have the same bits among few rows and among many: first the products of a lane, which takes every 32nd chunk
// of 16 bytes of a row of w, then the sums of the 32 lanes in turn. Each of THREADS threads computes EACH×4 sums. Slices of 16 k,
// which are LANES neighbouring chunks, are copied to workgroup memory.
// The including entry defines the operands, which are zero outside, and stores the sums:
//   fn x4(i: u32, q: u32) -> vec4f, fn w4(j: u32, q: u32) -> vec4f: numbers 4q to 4q+3 of a row
//   fn put(i: u32, j: u32, sum: f32): bounds-checked store
// Sums are written out: where an array of them has an index that is not constant, all its registers go to memory. EACH is a constant of
// the plan (src/ops/gemv.ts).
#include "../mac.wgsl"
const TILE_ROWS = 16u * ROWS;
const TILE_COLUMNS = 64u;
const E = select(4u, 8u, HALF == 1u);
const LANES = 16u / E;
// Rows of a slice are five vectors apart, so that neither stores nor loads have bank conflicts.
var<workgroup> xs: array<vec4f, 5u * TILE_ROWS>;
var<workgroup> ws: array<vec4f, 320>;

const APART = THREADS / 16u;

// A thread computes the sums of rows i, i + APART, … of x with rows j, j + 16, j + 32 and j + 48 of w.
fn tile(i0: u32, j0: u32, thread: u32) {
  let lid = thread % THREADS;
  let i = lid / 16u;
  let j = lid % 16u;
  let line = params.k / E;
  var sums: array<vec4f, EACH>;
  for (var lap = 0u; lap < MOST; lap++) { let lane = lap * LANES; if (!(lane < min(32u, line))) { break; }
    // For each of the lanes of the slice.
    var s = array<array<vec4f, EACH>, 4>();
    for (var step = 0u; step < MOST; step++) { if (!(step < (line + 31u) / 32u)) { break; }
      let q = (step * 32u + lane) * (E / 4u) + lid % 4u;
      for (var p = 0u; p < 256u / THREADS; p++) {
        let row = p * (THREADS / 4u) + lid / 4u;
        ws[row * 5u + lid % 4u] = w4(j0 + row, q);
        if (row < TILE_ROWS) { xs[row % TILE_ROWS * 5u + lid % 4u] = x4(i0 + row, q); }
      }
      workgroupBarrier();
#repeat q 4
      {
        const mine = select($qu, $qu / 2u, HALF == 1u);
        let w0 = ws[j * 5u + $q];
        let w1 = ws[j * 5u + 80u + $q];
        let w2 = ws[j * 5u + 160u + $q];
        let w3 = ws[j * 5u + 240u + $q];
#repeat r EACH
        s[mine][$r] = mac16(s[mine][$r], xs[(i + $r * APART) * 5u + $q], w0, w1, w2, w3);
#end
      }
#end
      workgroupBarrier();
    }
#repeat r EACH
    sums[$r] = sums[$r] + s[0][$r] + s[1][$r] + s[2][$r] + s[3][$r];
#end
  }
#repeat r EACH
#repeat c 4
  put(i0 + i + $r * APART, j0 + j + $c * 16u, sums[$r][$c]);
#end
#end
}
