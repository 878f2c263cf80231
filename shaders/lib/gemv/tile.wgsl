// sum[i,j] = Σₖ x_i[k]·w_j[k] for 16·ROWS rows of x and 64 rows of w. The order is that of sums.wgsl with shared.wgsl, so that
// the sums of a row have the same bits among few rows and among many: first the products of a lane, which takes every 32nd chunk
// of 16 bytes of a row of w, then the sums of the 32 lanes in turn. Each of THREADS threads computes EACH×4 sums. Slices of 16 k,
// which are LANES neighbouring chunks, are copied to workgroup memory.
// The including entry defines the operands, which are zero outside, and stores the sums:
//   fn x4(i: u32, q: u32) -> vec4f, fn w4(j: u32, q: u32) -> vec4f: numbers 4q to 4q+3 of a row
//   fn put(i: u32, j: u32, sum: f32): bounds-checked store
const TILE_ROWS = 16u * ROWS;
const TILE_COLUMNS = 64u;
const E = select(4u, 8u, HALF == 1u);
const LANES = 16u / E;
// Rows of a slice are five vectors apart, so that neither stores nor loads have bank conflicts.
var<workgroup> xs: array<vec4f, 5u * TILE_ROWS>;
var<workgroup> ws: array<vec4f, 320>;

const APART = THREADS / 16u;
const EACH = TILE_ROWS / APART;
// Sums of rows i, i + APART, … of x with rows j, j + 16, j + 32 and j + 48 of w.
alias Sums = array<vec4f, EACH>;

fn dot_add(a: vec4f, b: vec4f, sum: f32) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

fn accumulate(sums: Sums, i: u32, j: u32, q: u32) -> Sums {
  let w0 = ws[j * 5u + q];
  let w1 = ws[j * 5u + 80u + q];
  let w2 = ws[j * 5u + 160u + q];
  let w3 = ws[j * 5u + 240u + q];
  var s = sums;
  for (var r = 0u; r < EACH; r++) {
    let v = xs[(i + r * APART) * 5u + q];
    s[r] = vec4f(dot_add(w0, v, s[r].x), dot_add(w1, v, s[r].y), dot_add(w2, v, s[r].z), dot_add(w3, v, s[r].w));
  }
  return s;
}

fn tile(i0: u32, j0: u32, lid: u32) {
  let i = lid / 16u;
  let j = lid % 16u;
  let line = params.k / E;
  var sums: Sums;
  for (var lane = 0u; lane < min(32u, line); lane += LANES) {
    var s0 = Sums();
    var s1 = Sums();
    var s2 = Sums();
    var s3 = Sums();
    for (var step = 0u; step < (line + 31u) / 32u; step++) {
      let q = (step * 32u + lane) * (E / 4u) + lid % 4u;
      for (var row = lid / 4u; row < TILE_COLUMNS; row += THREADS / 4u) {
        let at = row * 5u + lid % 4u;
        ws[at] = w4(j0 + row, q);
        if (row < TILE_ROWS) { xs[at] = x4(i0 + row, q); }
      }
      workgroupBarrier();
      s0 = accumulate(s0, i, j, 0u);
      if (HALF == 1u) {
        s0 = accumulate(s0, i, j, 1u);
        s1 = accumulate(s1, i, j, 2u);
        s1 = accumulate(s1, i, j, 3u);
      } else {
        s1 = accumulate(s1, i, j, 1u);
        s2 = accumulate(s2, i, j, 2u);
        s3 = accumulate(s3, i, j, 3u);
      }
      workgroupBarrier();
    }
    for (var r = 0u; r < EACH; r++) { sums[r] = sums[r] + s0[r] + s1[r] + s2[r] + s3[r]; }
  }
  for (var r = 0u; r < EACH; r++) {
    for (var c = 0u; c < 4u; c++) { put(i0 + i + r * APART, j0 + j + c * 16u, sums[r][c]); }
  }
}
