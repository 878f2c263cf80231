// The workgroup computes the rows of x itself and holds them in workgroup memory. The two halves of a chunk are stored apart, so
// that a team reads neighbouring vectors. Indices are cut to the ranges that they have, so that compilers see them.
const QUADS = K / 4u;
var<workgroup> xs: array<vec4f, M * QUADS>;
fn x4(i: u32, q: u32) -> vec4f {
  let c = min(q, QUADS - 1u);
  if (HALF == 1u) { return xs[i % M * QUADS + c % 2u * (QUADS / 2u) + c / 2u]; }
  return xs[i % M * QUADS + c];
}
fn keep4(i: u32, q: u32, v: vec4f) {
  let c = min(q, QUADS - 1u);
  if (HALF == 1u) { xs[i % M * QUADS + c % 2u * (QUADS / 2u) + c / 2u] = v; } else { xs[i % M * QUADS + c] = v; }
}
