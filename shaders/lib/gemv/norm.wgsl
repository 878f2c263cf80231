// The workgroup computes the rows of x itself and holds them in workgroup memory. The two halves of a chunk are stored apart, so
// that a team reads neighbouring vectors.
const QUADS = K / 4u;
const PER = (QUADS + WG - 1u) / WG;
var<workgroup> xs: array<vec4f, M * QUADS>;
fn place(i: u32, q: u32) -> u32 {
  if (HALF == 1u) { return i * QUADS + q % 2u * (QUADS / 2u) + q / 2u; }
  return i * QUADS + q;
}
fn x4(i: u32, q: u32) -> vec4f { return xs[place(i, q)]; }
