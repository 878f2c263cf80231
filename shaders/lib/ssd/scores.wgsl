// scores[row, column] = C_i·B_j of every block of pairs j <= i; rows are those of C or, with TRANSPOSED, of B.
#include "block.wgsl"

// Four positions × four columns of xbc, transposed: [q] holds column q of the four positions.
fn transposed(i: u32, t: u32, at: u32, live: bool) -> mat4x4f {
  return transpose(mat4x4f(xbc4(i, t, at, live), xbc4(i, t + 1u, at, live), xbc4(i, t + 2u, at, live), xbc4(i, t + 3u, at, live)));
}

fn score(tile: u32, lid: u32) {
  let mg = tile / PAIRS;
  if (mg >= params.m * params.ngroups) { return; }
  let i = mg / params.ngroups;
  let group = mg % params.ngroups;
  let pair = pair_of(tile % PAIRS);
  let keys = vec2u(C_of(group), B_of(group));
  let place = select(pair, pair.yx, TRANSPOSED == 1u) * BLOCK;
  let key = select(keys, keys.yx, TRANSPOSED == 1u);
  let r4 = lid % 16u;
  let k4 = lid % 64u / 16u;
  var sum: Block;
  for (var lap = 0u; lap < MOST; lap++) { let k = lap * DEPTH; if (!(k < params.d_state)) { break; }
    let at = k / 4u + k4;
    let live = at < params.d_state / 4u;
    let a = transposed(i, place.x + r4 * 4u, key.x + at, live);
    let b = transposed(i, place.y + r4 * 4u, key.y + at, live);
#repeat q 4
      left[k4 * 4u + $q][r4] = a[$q];
      right[k4 * 4u + $q][r4] = b[$q];
#end
    workgroupBarrier();
    sum = multiply(sum, lid);
    workgroupBarrier();
  }
  let row = mg * LP + place.x + lid / 8u * 4u;
  let column = place.y / 4u + lid % 8u;
#repeat r 4
  {
    let at = (row + $r) * (LP / 4u) + column;
    scores_put(at, sum.m00[$r]);
    scores_put(at + 8u, sum.m01[$r]);
    scores_put(at + 8u * LP, sum.m10[$r]);
    scores_put(at + 8u * LP + 8u, sum.m11[$r]);
  }
#end
}
