// The part of a weight's gradient that a workgroup computes: the rows that it sums, and their contribution to the bias's
// gradient.
#include "column_sums.wgsl"
var<private> part: u32;
var<private> end: u32;

// Returns the first row of chunk z of p, and the row after its last.
fn chunk(z: u32) -> vec2u {
  let size = (params.m + params.p - 1u) / params.p;
  let start = min(z * size, params.m);
  let stop = min(start + size, params.m);
  part = z;
  end = stop;
  return vec2u(start, stop);
}

fn put_bias(wg: vec3u, rows: vec2u, lid: u32) {
  if (wg.x != 0u || params.has_dbias == 0u) { return; }
  let sum = column_sum(wg.y * TILE, rows.x, rows.y, lid);
  let j = wg.y * TILE + lid;
  if (lid < TILE && j < params.n) { dbias_add(part * params.n + j, sum); }
}
