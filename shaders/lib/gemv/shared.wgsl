// Sums over a team through workgroup memory, P = min(NV, 4) values at a time, in ROUNDS rounds. Indices are written so that compilers
// see them to be in range.
var<workgroup> team_parts: array<f32, WG * P>;

fn team_sums(lane: u32, thread: u32) {
  let lid = thread % WG;
  let first = lid / 32u * 32u;
#repeat v EACH
  var mine$v = 0.0;
#end
#repeat round ROUNDS
#repeat v P
  team_parts[$v * WG + lid] = acc[$round * P + $v];
#end
  workgroupBarrier();
#repeat v EACH
  {
    let o = held(lane) + $v - $round * P;
    if (o < P) {
      for (var q = 0u; q < 32u; q++) { mine$v += team_parts[o % P * WG + first + q]; }
    }
  }
#end
  workgroupBarrier();
#end
#repeat v EACH
  acc[$v] = mine$v;
#end
}
