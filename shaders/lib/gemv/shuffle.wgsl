// Sums over a team within a subgroup. Threads exchange halves of their values until each thread has the sums that it stores. The five
// rounds are written out, and indices are taken modulo NV, which they never reach: where a compiler cannot tell how often a loop
// runs, the values leave the registers. (No loop may have no rounds: then a compiler does not see that it ends.)
fn exchanged(low: f32, high: f32, mask: u32, lane: u32) -> f32 {
  let upper = (lane & mask) != 0u;
  return select(low, high, upper) + subgroupShuffleXor(select(high, low, upper), mask);
}

fn team_sums(lane: u32, lid: u32) {
#repeat round 5
  {
    const LEFT = NV / (2u << $roundu);
    const MASK = 16u >> $roundu;
    if (LEFT > 0u) {
      for (var v = 0u; v < max(LEFT, 1u); v++) { acc[v] = exchanged(acc[v], acc[(v + LEFT) % NV], MASK, lane); }
    } else { acc[0] += subgroupShuffleXor(acc[0], MASK); }
  }
#end
}
