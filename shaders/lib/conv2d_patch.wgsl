// 3×3 windows at stride 1 by patches of the output: 8 rows of 16 pixels, whose windows read 10 rows of 18 input pixels.
struct Place { n: u32, oy: u32, ox: u32 }
fn place(index: u32) -> Place {
  let across = (params.wo + 15u) / 16u;
  let down = (params.ho + 7u) / 8u;
  return Place(index / across / down, index / across % down * 8u, index % across * 16u);
}

// Vector c of input pixel p of the patch's 180.
fn pixel4(at: Place, p: u32, c: u32) -> vec4f {
  let vy = at.oy + p / 18u - params.pad;
  let vx = at.ox + p % 18u - params.pad;
  // What is left of zero has wrapped to a large number.
  if (vy >= params.hi * UP || vx >= params.wi * UP) { return vec4f(); }
  return x[((at.n * params.hi + vy / UP) * params.wi + vx / UP) * (params.ci / 4u) + c];
}
