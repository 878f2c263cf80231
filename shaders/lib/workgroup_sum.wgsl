// Returns the sum of v over the 256 threads of a workgroup to all of them. It makes 16 sums of 16, then adds these up. It must be
// called in uniform control flow, and may be called again at once.
var<workgroup> sum_parts: array<f32, 256>;
var<workgroup> sum_rows: array<f32, 16>;

fn workgroup_sum(v: f32, lid: u32) -> f32 {
  sum_parts[lid % 256u] = v;
  workgroupBarrier();
  if (lid < 16u) {
    var row = 0.0;
    for (var q = 0u; q < 16u; q++) { row += sum_parts[q * 16u + lid % 16u]; }
    sum_rows[lid % 16u] = row;
  }
  workgroupBarrier();
  var all = 0.0;
  for (var q = 0u; q < 16u; q++) { all += sum_rows[q]; }
  return all;
}
