// Sums v over the lanes, in lane order, in a workgroup of COLUMNS columns × 256 / COLUMNS lanes (lid = lane·COLUMNS + column).
// The threads of lane 0 get the sums. It must be called in uniform control flow, and may be called again at once.
var<workgroup> lane_parts: array<f32, 256>;

fn lane_sum(v: f32, lid: u32) -> f32 {
  lane_parts[lid % 256u] = v;
  workgroupBarrier();
  var all = 0.0;
  if (lid < COLUMNS) {
    for (var q = 0u; q < 256u / COLUMNS; q++) { all += lane_parts[q * COLUMNS + lid % COLUMNS]; }
  }
  workgroupBarrier();
  return all;
}
