// A 64 × 64 block of a product, sum[i,j] = Σₖ left[k,i]·right[k,j], by 64 threads that compute 8 × 8 sums each. The factors are
// copied to workgroup memory 16 k at a time, in vectors of four along i and j. A thread has the four rows from 4·(lid / 8) and
// the four columns from 4·(lid % 8), and those 32 further on, so that loads of vectors have no bank conflicts. The caller fills
// left and right, then calls a barrier, multiply, and a barrier.
const BLOCK = 64u;
const DEPTH = 16u;
var<workgroup> left: array<array<vec4f, 16>, 16>;
var<workgroup> right: array<array<vec4f, 16>, 16>;
/// Rows and columns of the first or the second kind; m[r] is a row.
struct Block { m00: mat4x4f, m01: mat4x4f, m10: mat4x4f, m11: mat4x4f }

fn outer(m: mat4x4f, a: vec4f, b: vec4f) -> mat4x4f {
  return mat4x4f(fma(vec4f(a.x), b, m[0]), fma(vec4f(a.y), b, m[1]), fma(vec4f(a.z), b, m[2]), fma(vec4f(a.w), b, m[3]));
}
fn products(s: Block, k: u32, ti: u32, tj: u32) -> Block {
  let a0 = left[k % 16u][ti % 8u];
  let a1 = left[k % 16u][8u + ti % 8u];
  let b0 = right[k % 16u][tj % 8u];
  let b1 = right[k % 16u][8u + tj % 8u];
  return Block(outer(s.m00, a0, b0), outer(s.m01, a0, b1), outer(s.m10, a1, b0), outer(s.m11, a1, b1));
}

fn multiply(sum: Block, lid: u32) -> Block {
  let ti = lid / 8u % 8u;
  let tj = lid % 8u;
  var s = sum;
  // The loop is unrolled by four, since compilers do not do this by themselves.
  for (var lap = 0u; lap < (DEPTH + 4u - 1u) / 4u; lap++) { let k = lap * 4u;
    s = products(s, k, ti, tj);
    s = products(s, k + 1u, ti, tj);
    s = products(s, k + 2u, ti, tj);
    s = products(s, k + 3u, ti, tj);
  }
  return s;
}
// Returns the block with its rows multiplied: by a for the first kind of rows and by b for the second.
fn scaled(s: Block, a: vec4f, b: vec4f) -> Block {
  return Block(rows_by(s.m00, a), rows_by(s.m01, a), rows_by(s.m10, b), rows_by(s.m11, b));
}
fn rows_by(m: mat4x4f, a: vec4f) -> mat4x4f { return mat4x4f(m[0] * a.x, m[1] * a.y, m[2] * a.z, m[3] * a.w); }
fn product(a: vec4f, b: vec4f) -> mat4x4f { return mat4x4f(a.x * b, a.y * b, a.z * b, a.w * b); }
