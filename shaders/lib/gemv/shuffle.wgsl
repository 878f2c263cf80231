// Sums over a team within a subgroup. Threads exchange halves of their values until each thread has the sums that it stores.
fn fold(mask: u32, n: u32, lane: u32) {
  let upper = (lane & mask) != 0u;
  if (n > 1u) {
    for (var v = 0u; v < n / 2u; v++) {
      let mine = select(acc[v], acc[v + n / 2u], upper);
      let other = select(acc[v + n / 2u], acc[v], upper);
      acc[v] = mine + subgroupShuffleXor(other, mask);
    }
  } else {
    acc[0] += subgroupShuffleXor(acc[0], mask);
  }
}

fn team_sums(lane: u32, lid: u32) {
  fold(16u, NV, lane);
  fold(8u, NV / 2u, lane);
  fold(4u, NV / 4u, lane);
  fold(2u, NV / 8u, lane);
  fold(1u, NV / 16u, lane);
}
