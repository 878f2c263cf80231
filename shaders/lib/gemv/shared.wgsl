// Sums over a team through workgroup memory, P values at a time. Indices are written so that compilers see them to be in range.
const P = min(NV, 4u);
var<workgroup> team_parts: array<f32, WG * P>;

fn team_sums(lane: u32, thread: u32) {
  let lid = thread % WG;
  let first = lid / 32u * 32u;
  var mine: array<f32, EACH>;
  for (var round = 0u; round < NV / P; round++) {
    for (var v = 0u; v < P; v++) { team_parts[v * WG + lid] = acc[round * P + v]; }
    workgroupBarrier();
    for (var v = 0u; v < EACH; v++) {
      let o = held(lane) + v - round * P;
      if (o < P) {
        for (var q = 0u; q < 32u; q++) { mine[v] += team_parts[o % P * WG + first + q]; }
      }
    }
    workgroupBarrier();
  }
  for (var v = 0u; v < EACH; v++) { acc[v] = mine[v]; }
}
