// Sums squares[i] over all WG threads of a workgroup, for i < M, by subgroups.
var<private> squares: array<f32, M>;
var<workgroup> square_parts: array<f32, M * WG / 32u>;

fn workgroup_squares(thread: u32) {
  let lid = thread % WG;
#repeat i M
  {
    var v = squares[$i];
    v += subgroupShuffleXor(v, 16u);
    v += subgroupShuffleXor(v, 8u);
    v += subgroupShuffleXor(v, 4u);
    v += subgroupShuffleXor(v, 2u);
    v += subgroupShuffleXor(v, 1u);
    if (lid % 32u == 0u) { square_parts[$i * (WG / 32u) + lid / 32u] = v; }
  }
#end
  workgroupBarrier();
#repeat i M
  squares[$i] = 0.0;
  for (var q = 0u; q < WG / 32u; q++) { squares[$i] += square_parts[$i * (WG / 32u) + q]; }
#end
}
