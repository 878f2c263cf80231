// Rows of the head of queries `head`, of the keys and values that it looks at (`served`), and of the gradient of its output.
/// Rows of four that a thread sums.
const EACH = COLUMNS / 64u;
var<private> image: u32;
var<private> head: u32;
var<private> served: u32;
fn rows(which: u32) -> u32 { return params.l; }
fn fetch(which: u32, row: u32, e: u32) -> f32 {
  let at = image * params.l + row;
  if (which == DY) { return dy_at((at * params.h + head) * params.c + e); }
  var first = head;
  if (which == K) { first = params.h + served; }
  if (which == V) { first = (params.h + params.n) / 2u + served; }
  return qkv_at((at * params.n + first) * params.c + e);
}
