// Sums over a team through workgroup memory, P values at a time.
const P = min(NV, 4u);
var<workgroup> team_parts: array<f32, WG * P>;

fn team_sums(lane: u32, lid: u32) {
  var mine: array<f32, EACH>;
  for (var v0 = 0u; v0 < NV; v0 += P) {
    for (var v = 0u; v < P; v++) { team_parts[v * WG + lid] = acc[v0 + v]; }
    workgroupBarrier();
    for (var v = 0u; v < EACH; v++) {
      let o = held(lane) + v - v0;
      if (o < P) {
        for (var q = 0u; q < 32u; q++) { mine[v] += team_parts[o * WG + lid - lane + q]; }
      }
    }
    workgroupBarrier();
  }
  for (var v = 0u; v < EACH; v++) { acc[v] = mine[v]; }
}
