// sum[i,j] = Σₖ x_i[k]·w_j[k] for four rows of x and one row of w by one thread, without workgroup memory and barriers. A software
// GPU runs all threads of a workgroup in turn up to each barrier, which takes it longer than the sums. The order is that of
// tile.wgsl. The including entry defines the operands: fn x4(i: u32, q: u32) -> vec4f, fn w4(j: u32, q: u32) -> vec4f: numbers 4q to
// 4q+3 of a row.
const E = select(4u, 8u, HALF == 1u);

fn dot_add(a: vec4f, b: vec4f, sum: f32) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

fn sums_of(i: u32, j: u32) -> vec4f {
  let line = params.k / E;
  var sums = vec4f();
  for (var lane = 0u; lane < min(32u, line); lane++) {
    var s = vec4f();
    for (var chunk = lane; chunk < line; chunk += 32u) {
      for (var q = chunk * (E / 4u); q < (chunk + 1u) * (E / 4u); q++) {
        let w = w4(j, q);
        s = vec4f(
          dot_add(w, x4(i, q), s.x),
          dot_add(w, x4(i + 1u, q), s.y),
          dot_add(w, x4(i + 2u, q), s.z),
          dot_add(w, x4(i + 3u, q), s.w),
        );
      }
    }
    sums += s;
  }
  return sums;
}
