// Sums over the WG threads through workgroup memory: of z over all threads, and of the u32 v both up to each thread and over all.
var<workgroup> scan_parts: array<u32, WG>;
var<workgroup> scan_rows: array<u32, WG / 32u>;
var<workgroup> z_parts: array<f32, WG>;
var<workgroup> z_rows: array<f32, WG / 32u>;

fn sum_of(z: f32, lid: u32) -> f32 {
  z_parts[lid % WG] = z;
  workgroupBarrier();
  if (lid < WG / 32u) {
    var row = 0.0;
    for (var q = 0u; q < 32u; q++) { row += z_parts[lid % (WG / 32u) * 32u + q]; }
    z_rows[lid % (WG / 32u)] = row;
  }
  workgroupBarrier();
  var all = 0.0;
  for (var q = 0u; q < WG / 32u; q++) { all += z_rows[q]; }
  return all;
}
fn scan(v: u32, lid: u32) -> Scan {
  scan_parts[lid % WG] = v;
  workgroupBarrier();
  if (lid < WG / 32u) {
    var row = 0u;
    for (var q = 0u; q < 32u; q++) {
      row += scan_parts[lid % (WG / 32u) * 32u + q];
      scan_parts[lid % (WG / 32u) * 32u + q] = row;
    }
    scan_rows[lid % (WG / 32u)] = row;
  }
  workgroupBarrier();
  var result = Scan(scan_parts[lid % WG], 0u);
  for (var q = 0u; q < WG / 32u; q++) {
    if (q == lid / 32u) { result.upto += result.all; }
    result.all += scan_rows[q];
  }
  return result;
}
