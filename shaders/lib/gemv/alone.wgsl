// sum[i,j] = Σₖ x_i[k]·w_j[k] for four rows of x and four of w by one thread, without workgroup memory and barriers: a software GPU runs
// all threads of a workgroup in turn up to each barrier, which takes it longer than the sums. Products of a lane, which takes every
// 32nd chunk of 16 bytes of a row of w, are added first, then the sums of the lanes, for few rows and for many.
// The including entry defines the operands: fn x4(i: u32, q: u32) -> vec4f, fn w4(j: u32, q: u32) -> vec4f: numbers 4q to 4q+3 of a row.
const E = select(4u, 8u, HALF == 1u);

// Without fma, which a processor may take a call for.
fn dot_add(a: vec4f, b: vec4f, sum: f32) -> f32 { return sum + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }

fn dot_adds(w: vec4f, x0: vec4f, x1: vec4f, x2: vec4f, x3: vec4f, sums: vec4f) -> vec4f {
  return vec4f(dot_add(w, x0, sums.x), dot_add(w, x1, sums.y), dot_add(w, x2, sums.z), dot_add(w, x3, sums.w));
}

// Sums of rows i to i + 3 of x, in a column for each of the rows j to j + 3 of w.
fn sums_of(i: u32, j: u32) -> mat4x4f {
  let line = params.k / E;
  var sums = mat4x4f();
  for (var lane = 0u; lane < MOST; lane++) { if (!(lane < min(32u, line))) { break; }
    var s = mat4x4f();
    for (var lap = 0u; lap < MOST; lap++) { let chunk = lane + lap * 32u; if (!(chunk < line)) { break; }
      for (var lap = 0u; lap < MOST; lap++) {
        let q = (chunk * (E / 4u)) + lap;
        if (!(q < (chunk + 1u) * (E / 4u))) { break; }
        let x0 = x4(i, q);
        let x1 = x4(i + 1u, q);
        let x2 = x4(i + 2u, q);
        let x3 = x4(i + 3u, q);
        s[0] = dot_adds(w4(j, q), x0, x1, x2, x3, s[0]);
        s[1] = dot_adds(w4(j + 1u, q), x0, x1, x2, x3, s[1]);
        s[2] = dot_adds(w4(j + 2u, q), x0, x1, x2, x3, s[2]);
        s[3] = dot_adds(w4(j + 3u, q), x0, x1, x2, x3, s[3]);
      }
    }
    sums += s;
  }
  return sums;
}
