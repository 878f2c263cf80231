// Attention block by block. A workgroup takes 16 rows (queries, or keys in backward_key) and processes the rows of the other
// tensor 64 at a time. A thread computes four products with one of the 64 rows, then sums its channels for several of the 16 rows.
// The includer defines rows(which), the number of rows of a tensor, and fetch(which, row, e), channel e of a row.
const Q = 0u;
const K = 1u;
const V = 2u;
const DY = 3u;

var<workgroup> few: array<vec4f, 64>;
var<workgroup> many: array<vec4f, 320>;
var<workgroup> weights: array<vec4f, 256>;
var<workgroup> partial: array<vec4f, 256>;

fn load4(which: u32, row: u32, e: u32) -> vec4f {
  var value: vec4f;
  if (row >= rows(which)) { return value; }
  for (var n = 0u; n < 4u; n++) {
    if (e + n < params.c) { value[n] = fetch(which, row, e + n); }
  }
  return value;
}

// Returns the products of rows i0 + 4·(lid / 64) + 0..3 of a with row j0 + lid % 64 of b.
fn products(a: u32, b: u32, i0: u32, j0: u32, lid: u32) -> vec4f {
  var sum = vec4f();
  for (var lap = 0u; lap < MOST; lap++) { let e = lap * 16u; if (!(e < params.c)) { break; }
    if (lid < 64u) { few[lid] = load4(a, i0 + lid / 4u, e + lid % 4u * 4u); }
    many[lid / 4u * 5u + lid % 4u] = load4(b, j0 + lid / 4u, e + lid % 4u * 4u);
    workgroupBarrier();
    for (var n = 0u; n < 4u; n++) {
      let m = many[lid % 64u * 5u + n];
      let at = lid / 64u * 16u + n;
      sum += vec4f(dot(few[at], m), dot(few[at + 4u], m), dot(few[at + 8u], m), dot(few[at + 12u], m));
    }
    workgroupBarrier();
  }
  return sum;
}

// partial = maxima of weights over eight keys each; those over all 64 are maxima of eight results.
fn maxima(lid: u32) {
  workgroupBarrier();
  if (lid % 64u < 8u) {
    var m = weights[lid];
    for (var lap = 0u; lap < MOST; lap++) { let n = 8u + lap * 8u; if (!(n < 64u)) { break; } m = max(m, weights[lid + n]); }
    partial[lid] = m;
  }
  workgroupBarrier();
}

// Adds up the denominators of the softmax in partial. Each thread has summed one key of every 64.
fn add_up(mass: vec4f, lid: u32) {
  partial[lid] = mass;
  for (var lap = 0u; lap < 32u; lap++) { let n = 32u >> lap; if (!(n > 0u)) { break; }
    workgroupBarrier();
    if (lid % 64u < n) { partial[lid] += partial[lid + n]; }
  }
  workgroupBarrier();
}
