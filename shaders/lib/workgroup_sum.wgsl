// Returns the sum of v over the 256 threads of a workgroup to all of them. It makes 16 sums of 16, then adds these up. It must be
// called in uniform control flow, and may be called again at once.
var<workgroup> sum_parts: array<f32, 256>;
var<workgroup> sum_rows: array<f32, 16>;

fn workgroup_sum(v: f32, lid: u32) -> f32 {
  sum_parts[lid] = v;
  workgroupBarrier();
  if (lid < 16u) {
    var row = 0.0;
    for (var q = lid; q < 256u; q += 16u) { row += sum_parts[q]; }
    sum_rows[lid] = row;
  }
  workgroupBarrier();
  var all = 0.0;
  for (var q = 0u; q < 16u; q++) { all += sum_rows[q]; }
  return all;
}
