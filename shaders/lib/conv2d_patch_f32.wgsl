// A patch by 64 output channels. A thread computes a column of 8 pixels by 4 channels. Each step loads 8 input channels, and the
// weights of one column of the windows. Neighbouring threads' vectors of weights are 16 apart and their halves are swapped every
// 4, so that there are no bank conflicts.
// Sums and pixels are written out: where an array of them has an index that is not constant, all its registers go to memory.
// Indices are taken modulo sizes that they do not reach, so that compilers need not clamp them.
var<workgroup> pixels: array<vec4f, 360>;
var<workgroup> taps: array<vec4f, 384>;

#include "mac.wgsl"

// Copies the weights of column kx of the windows for vector c of channels and the next: 384 vectors, of which this is number i.
fn copy_tap(i: u32, o0: u32, kx: u32, c: u32) {
  let o = i / 2u % 64u;
  let ky = i / 128u % 3u;
  let slot = o % 4u * 16u + o / 4u;
  taps[ky * 128u + slot * 2u + (i ^ (slot / 4u)) % 2u] = tap4(o0 + o, ky * 3u + kx, c + i % 2u);
}

fn convolve(slab: u32, index: u32, thread: u32) {
  let lid = thread % 256u;
  let z = sizes();
  let slabs = (z.co + 63u) / 64u;
  let at = place(index);
  if (at.n >= params.b) { return; }
  let o0 = slab % slabs * 64u;
  let part = slab / slabs;
  let steps = z.ci / 8u / PARTS;
  let column = lid / 16u;
  let four = lid % 16u;
  let swap = four / 4u % 2u;
  // This thread copies one vector of each of two pixels.
  let start0 = pixel(at, lid / 2u);
  let start1 = pixel(at, lid / 2u + 128u);
#repeat r 8
  var s$r = vec4f();
#end
  for (var step = 0u; step < MOST; step++) { if (!(step < steps)) { break; }
    let c = (part * steps + step) * 2u;
    for (var kx = 0u; kx < 3u; kx++) {
      workgroupBarrier();
      if (kx == 0u) {
        pixels[lid] = pixel4(start0, c + lid % 2u);
        if (lid < 104u) { pixels[lid % 104u + 256u] = pixel4(start1, c + lid % 2u); }
      }
      copy_tap(lid, o0, kx, c);
      if (lid < 128u) { copy_tap(lid + 256u, o0, kx, c); }
      workgroupBarrier();
#repeat q 2
      {
        let a = array<vec4f, 10>(
#repeat p 10
          pixels[(column + kx + 18 * $p) * 2u + $q],
#end
        );
#repeat k 3
        {
          let b = $k * 128u + four * 2u + ($q ^ swap) % 2u;
          let b0 = taps[b];
          let b1 = taps[b + 32u];
          let b2 = taps[b + 64u];
          let b3 = taps[b + 96u];
#repeat r 8
          s$r = mac16(s$r, a[$r + $k], b0, b1, b2, b3);
#end
        }
#end
      }
#end
    }
  }
#repeat r 8
  put4(at, $r, column, o0 / 4u + four, part, s$r);
#end
}
