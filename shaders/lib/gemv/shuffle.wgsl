// Sums over a team within a subgroup. Threads exchange halves of their values until each thread has the sums that it stores. The five
// rounds are written out, and indices are taken modulo NV, which they never reach: where a compiler cannot tell how often a loop
// runs, the values leave the registers. (No loop may have no rounds: then a compiler does not see that it ends.)
fn exchanged(low: f32, high: f32, mask: u32, lane: u32) -> f32 {
  let upper = (lane & mask) != 0u;
  return select(low, high, upper) + subgroupShuffleXor(select(high, low, upper), mask);
}

fn team_sums(lane: u32, lid: u32) {
  if (NV > 1u) {
    for (var v = 0u; v < max(NV / 2u, 1u); v++) { acc[v] = exchanged(acc[v], acc[(v + NV / 2u) % NV], 16u, lane); }
  } else { acc[0] += subgroupShuffleXor(acc[0], 16u); }
  if (NV > 2u) {
    for (var v = 0u; v < max(NV / 4u, 1u); v++) { acc[v] = exchanged(acc[v], acc[(v + NV / 4u) % NV], 8u, lane); }
  } else { acc[0] += subgroupShuffleXor(acc[0], 8u); }
  if (NV > 4u) {
    for (var v = 0u; v < max(NV / 8u, 1u); v++) { acc[v] = exchanged(acc[v], acc[(v + NV / 8u) % NV], 4u, lane); }
  } else { acc[0] += subgroupShuffleXor(acc[0], 4u); }
  if (NV > 8u) {
    for (var v = 0u; v < max(NV / 16u, 1u); v++) { acc[v] = exchanged(acc[v], acc[(v + NV / 16u) % NV], 2u, lane); }
  } else { acc[0] += subgroupShuffleXor(acc[0], 2u); }
  if (NV > 16u) {
    for (var v = 0u; v < max(NV / 32u, 1u); v++) { acc[v] = exchanged(acc[v], acc[(v + NV / 32u) % NV], 1u, lane); }
  } else { acc[0] += subgroupShuffleXor(acc[0], 1u); }
}
