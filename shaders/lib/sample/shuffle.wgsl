// Sums over the WG threads by subgroups of at least 32: of z over all threads, and of the u32 v both up to each thread and over
// all.
var<workgroup> team_sums: array<u32, WG / 32u>;
var<workgroup> team_z: array<f32, WG / 32u>;

fn sum_of(z: f32, lid: u32) -> f32 {
  var v = z;
  for (var lap = 0u; lap < 32u; lap++) { let mask = 16u >> lap; if (!(mask > 0u)) { break; } v += subgroupShuffleXor(v, mask); }
  if (lid % 32u == 0u) { team_z[lid % WG / 32u] = v; }
  workgroupBarrier();
  var all = 0.0;
  for (var q = 0u; q < WG / 32u; q++) { all += team_z[q]; }
  return all;
}
fn scan(v: u32, lid: u32) -> Scan {
  var upto = v;
  for (var bit = 0u; bit < 5u; bit++) {
    let d = 1u << bit;
    let before = subgroupShuffleUp(upto, d);
    if (lid % 32u >= d) { upto += before; }
  }
  workgroupBarrier();
  if (lid % 32u == 31u) { team_sums[lid % WG / 32u] = upto; }
  workgroupBarrier();
  var all = 0u;
  for (var q = 0u; q < WG / 32u; q++) {
    if (q == lid / 32u) { upto += all; }
    all += team_sums[q];
  }
  return Scan(upto, all);
}
