// Sums squares[i] over all 256 threads of a workgroup, for i < M, through workgroup memory.
#include "../workgroup_sum.wgsl"
var<private> squares: array<f32, M>;

fn workgroup_squares(lid: u32) {
#repeat i M
  squares[$i] = workgroup_sum(squares[$i], lid);
#end
}
