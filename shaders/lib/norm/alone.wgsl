// The sum of squares of a row of `width` vectors by one thread, in the order of shared.wgsl with 256 threads: first those of a thread,
// then sixteen sums of sixteen. The including entry defines fn value(q: u32) -> vec4f: vector q of the row.
fn sum_of_squares(width: u32) -> f32 {
  var all = 0.0;
  for (var first = 0u; first < 16u; first++) {
    var row = 0.0;
    for (var lane = first; lane < min(256u, width); lane += 16u) {
      var squares = 0.0;
      for (var q = lane; q < width; q += 256u) {
        let v = value(q);
        squares = fma(v.w, v.w, fma(v.z, v.z, fma(v.y, v.y, fma(v.x, v.x, squares))));
      }
      row += squares;
    }
    all += row;
  }
  return all;
}
