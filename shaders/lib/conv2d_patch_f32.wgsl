// A patch by 64 output channels. A thread computes a column of 8 pixels by 4 channels. Each step loads 8 input channels, and the
// weights of one column of the windows. Neighbouring threads' vectors of weights are 16 apart and their halves are swapped every
// 4, so that there are no bank conflicts.
var<workgroup> pixels: array<vec4f, 360>;
var<workgroup> taps: array<vec4f, 384>;

fn mac4(sum: f32, a: vec4f, b: vec4f) -> f32 { return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum)))); }

fn mac16(sum: vec4f, a: vec4f, b0: vec4f, b1: vec4f, b2: vec4f, b3: vec4f) -> vec4f {
  return vec4f(mac4(sum.x, a, b0), mac4(sum.y, a, b1), mac4(sum.z, a, b2), mac4(sum.w, a, b3));
}

fn convolve(slab: u32, index: u32, lid: u32) {
  let z = sizes();
  let slabs = (z.co + 63u) / 64u;
  let at = place(index);
  if (at.n >= params.b) { return; }
  let o0 = slab % slabs * 64u;
  let part = slab / slabs;
  let ci4 = z.ci / 4u;
  let column = lid / 16u;
  let four = lid % 16u;
  let swap = four / 4u % 2u;
  // This thread copies one vector of each of two pixels.
  let starts = array<u32, 2>(pixel(at, lid / 2u), pixel(at, lid / 2u + 128u));
  var sums: array<vec4f, 8>;
  for (var c = part * (ci4 / PARTS); c < (part + 1u) * (ci4 / PARTS); c += 2u) {
    for (var kx = 0u; kx < 3u; kx++) {
      workgroupBarrier();
      if (kx == 0u) {
        pixels[lid] = pixel4(starts[0], c + lid % 2u);
        if (lid < 104u) { pixels[lid + 256u] = pixel4(starts[1], c + lid % 2u); }
      }
      for (var i = lid; i < 384u; i += 256u) {
        let o = i / 2u % 64u;
        let ky = i / 128u;
        let slot = o % 4u * 16u + o / 4u;
        taps[(ky * 64u + slot) * 2u + ((i ^ (slot / 4u)) & 1u)] = tap4(o0 + o, ky * 3u + kx, c + i % 2u);
      }
      workgroupBarrier();
      for (var q = 0u; q < 2u; q++) {
        var a = array<vec4f, 10>();
        for (var r = 0u; r < 10u; r++) { a[r] = pixels[(column + kx + r * 18u) * 2u + q]; }
        for (var ky = 0u; ky < 3u; ky++) {
          let b = ky * 128u + four * 2u + (q ^ swap);
          let b0 = taps[b];
          let b1 = taps[b + 32u];
          let b2 = taps[b + 64u];
          let b3 = taps[b + 96u];
          for (var r = 0u; r < 8u; r++) { sums[r] = mac16(sums[r], a[r + ky], b0, b1, b2, b3); }
        }
      }
    }
  }
  for (var r = 0u; r < 8u; r++) { put4(at, r, column, o0 / 4u + four, part, sums[r]); }
}
