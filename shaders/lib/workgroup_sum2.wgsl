// Returns the sums of both components of v over the WG (at least 16) threads of a workgroup to all of them. It makes 16 sums,
// then adds these up. It must be called in uniform control flow, and may be called again at once.
var<workgroup> sum_parts: array<vec2f, WG>;
var<workgroup> sum_rows: array<vec2f, 16>;

fn workgroup_sum2(v: vec2f, lid: u32) -> vec2f {
  sum_parts[lid % WG] = v;
  workgroupBarrier();
  if (lid < 16u) {
    var row = vec2f();
    for (var q = 0u; q < WG / 16u; q++) { row += sum_parts[q * 16u + lid % 16u]; }
    sum_rows[lid % 16u] = row;
  }
  workgroupBarrier();
  var all = vec2f();
  for (var q = 0u; q < 16u; q++) { all += sum_rows[q]; }
  return all;
}
