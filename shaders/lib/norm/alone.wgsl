// The sum of squares of a row of `width` vectors by one thread, in the order of shared.wgsl with 256 threads: first those of a thread,
// then sixteen sums of sixteen. The including entry defines fn value(q: u32) -> vec4f: vector q of the row.
fn sum_of_squares(width: u32) -> f32 {
  var all = 0.0;
  for (var first = 0u; first < 16u; first++) {
    var row = 0.0;
    for (var lap = 0u; lap < MOST; lap++) {
      let lane = first + lap * 16u;
      if (!(lane < min(256u, width))) { break; }
      var squares = 0.0;
      for (var lap = 0u; lap < MOST; lap++) { let q = lane + lap * 256u; if (!(q < width)) { break; }
        let v = value(q);
        squares = fma(v.w, v.w, fma(v.z, v.z, fma(v.y, v.y, fma(v.x, v.x, squares))));
      }
      row += squares;
    }
    all += row;
  }
  return all;
}
