// Returns the largest v of the 256 threads of a workgroup to all of them. It must be called in uniform control flow, and may be
// called again at once.
var<workgroup> max_parts: array<f32, 256>;
var<workgroup> max_rows: array<f32, 16>;

fn workgroup_max(v: f32, lid: u32) -> f32 {
  max_parts[lid % 256u] = v;
  workgroupBarrier();
  if (lid < 16u) {
    var row = v;
    for (var q = 0u; q < 16u; q++) { row = max(row, max_parts[q * 16u + lid % 16u]); }
    max_rows[lid % 16u] = row;
  }
  workgroupBarrier();
  var all = v;
  for (var q = 0u; q < 16u; q++) { all = max(all, max_rows[q]); }
  return all;
}
