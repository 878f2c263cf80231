// The gradient of a table: row `row` of the table gets the sum of those rows of dy that have its id. A workgroup takes one row of
// the table. It searches the ids, TILE at a time, and lists its matches in an order that depends on the ids only. Then 4 lanes of
// 64 threads add up the listed rows, PER channels in each thread. The including section defines id_at(i), the id of entry i;
// row_at(i), its row of dy; and add_at(at, v), which adds to the table.
const TILE = 2048u;
var<workgroup> counts: array<u32, 256>;
var<workgroup> heads: array<u32, 16>;
var<workgroup> matches: array<u32, TILE>;
var<workgroup> found: u32;
var<workgroup> lanes: array<f32, 256>;

fn scatter(row: u32, entries: u32, lid: u32) {
  var sums: array<f32, PER>;
  if (lid == 0u) { found = 0u; }
  for (var lap = 0u; lap < MOST; lap++) { let base = lap * TILE; if (!(base < entries)) { break; }
    var mask = 0u;
    for (var q = 0u; q < 8u; q++) {
      let i = base + q * 256u + lid;
      if (i < entries) { mask |= select(0u, 1u << q, id_at(i) == row); }
    }
    counts[lid] = countOneBits(mask);
    workgroupBarrier();
    if (lid < 16u) {
      var head = 0u;
      for (var q = 0u; q < 16u; q++) { head += counts[lid * 16u + q]; }
      heads[lid] = head;
    }
    workgroupBarrier();
    var total = 0u;
    var to = 0u;
    for (var q = 0u; q < 16u; q++) {
      to += select(0u, heads[q], q < lid / 16u);
      total += heads[q];
    }
    for (var lap = 0u; lap < MOST; lap++) { let q = (lid & ~15u) + lap; if (!(q < lid)) { break; } to += counts[q]; }
    for (; mask != 0u; mask &= mask - 1u) {
      matches[to] = base + firstTrailingBit(mask) * 256u + lid;
      to++;
    }
    if (lid == 0u) { found += total; }
    workgroupBarrier();
    for (var lap = 0u; lap < MOST; lap++) { let n = (lid / 64u) + lap * 4u; if (!(n < total)) { break; }
      let at = row_at(matches[n]) * params.d;
      for (var q = 0u; q < PER; q++) {
        let ch = q * 64u + lid % 64u;
        if (ch < params.d) { sums[q] += dy_at(at + ch); }
      }
    }
  }
  if (workgroupUniformLoad(&found) == 0u) { return; }
  for (var q = 0u; q < PER; q++) {
    lanes[lid] = sums[q];
    workgroupBarrier();
    let ch = q * 64u + lid;
    if (lid < 64u && ch < params.d) { add_at(row * params.d + ch, lanes[lid] + lanes[lid + 64u] + lanes[lid + 128u] + lanes[lid + 192u]); }
    workgroupBarrier();
  }
}
