// Returns logits i to i+3, or fewer at the end of the row.
fn quad(i: u32) -> vec4f {
  var v: vec4f;
  for (var q = 0u; q < 4u; q++) { v[q] = logits_at(min(i + q, params.b * params.v - 1u)); }
  return v;
}
