// 3×3 windows at stride 1 by patches of the output: 8 rows of 16 pixels, whose windows read 10 rows of 18 input pixels. The
// including entry defines the input and the weights:
//   fn sizes() -> Sizes
//   fn source4(i: u32) -> vec4f: vector i of the input
//   fn tap4(o: u32, t: u32, c: u32) -> vec4f: weights of output channel o at tap t for vector c of channels; o may be past the
//   last
struct Sizes { hi: u32, wi: u32, ci: u32, ho: u32, wo: u32, co: u32, pad_y: u32, pad_x: u32 }
struct Place { n: u32, oy: u32, ox: u32 }
fn place(index: u32) -> Place {
  let z = sizes();
  let across = (z.wo + 15u) / 16u;
  let down = (z.ho + 7u) / 8u;
  return Place(index / across / down, index / across % down * 8u, index % across * 16u);
}

// Returns the first vector of input pixel p of the patch's 180, or NONE if the pixel is outside of the input.
fn pixel(at: Place, p: u32) -> u32 {
  let z = sizes();
  let vy = at.oy + p / 18u - z.pad_y;
  let vx = at.ox + p % 18u - z.pad_x;
  // An unsigned number below zero wraps to a large one.
  if (p >= 180u || vy >= z.hi * UP || vx >= z.wi * UP) { return NONE; }
  return ((at.n * z.hi + vy / UP) * z.wi + vx / UP) * (z.ci / 4u);
}

fn pixel4(start: u32, c: u32) -> vec4f {
  if (start == NONE) { return vec4f(); }
  return source4(start + c);
}

// Returns vector o of output pixel (row, column) of a patch, or NONE if the pixel is outside of the output.
fn target4(at: Place, row: u32, column: u32, o: u32) -> u32 {
  let z = sizes();
  let oy = at.oy + row;
  let ox = at.ox + column;
  if (oy >= z.ho || ox >= z.wo || o >= z.co / 4u) { return NONE; }
  return ((at.n * z.ho + oy) * z.wo + ox) * (z.co / 4u) + o;
}
