// Used by the passes over blocks of 64 × 64 pairs of positions: y_i = Σ_{j≤i} (C_i·B_j) exp(a_{j+1} + … + a_i) dt_j x_j + D x_i,
// a = dt·A. Positions are padded to LP, a multiple of 64, with dt = a = 0; NB = LP / 16 and NT = LP / 64.
#include "../block.wgsl"
const FOUR = vec4u(0u, 1u, 2u, 3u);

// Vector `at` of position t of xbc in sequence i; zeros past the end.
fn xbc4(i: u32, t: u32, at: u32, live: bool) -> vec4f {
  if (!live || t >= params.l) { return vec4f(); }
  return xbc_at((i * params.l + t) * (params.c / 4u) + at);
}
// Index of the first vector of B and of C in a row.
fn B_of(group: u32) -> u32 { return (params.e + group * params.d_state) / 4u; }
fn C_of(group: u32) -> u32 { return B_of(params.ngroups + group); }
// Pair number q of the pairs (i, j) of blocks with j <= i.
fn pair_of(q: u32) -> vec2u {
  var i = 0u;
  var j = q;
  while (j > i) {
    i++;
    j -= i;
  }
  return vec2u(i, j);
}
