// The decay exp(a_{j+1} + … + a_i) between positions j <= i of one head of one sequence (number mh = sequence·h + head), from the
// planes that make_steps wrote. No exponent is positive, and no large sum is subtracted from another large sum, which would lose
// precision: between blocks of 64 positions the decay is a product of DECAY_TO of i (since the begin of its block), `across` of the
// blocks in between, and DECAY_AFTER of j (to the end of its block). Within a block the same holds for groups of 16 positions, with
// sums instead of products. Only within one group of 16 are two sums subtracted: SUM_TO of i minus SUM_TO of j.
// The step size dt.
const DT = 0u;
// Sum of a = dt·A from the begin of the group of 16 to the position itself.
const SUM_TO = 1u;
// Sum of a after the position to the end of its group of 16.
const SUM_AFTER = 2u;
// Exp of the sum of a from the begin of the block of 64 to the position itself.
const DECAY_TO = 3u;
// Exp of the sum of a after the position to the end of its block of 64.
const DECAY_AFTER = 4u;

// Element t of a plane, and four of them.
fn plane(mh: u32, name: u32, t: u32) -> f32 { return steps_at((mh * 5u + name) * LP + t); }
fn plane4(mh: u32, name: u32, t: u32) -> vec4f {
  let at = (mh * 5u + name) * LP + t;
  return vec4f(steps_at(at), steps_at(at + 1u), steps_at(at + 2u), steps_at(at + 3u));
}
// The decay across the whole blocks between those of t and u; t is in a later block than u.
fn across(mh: u32, t: u32, u: u32) -> f32 { return between_at((mh * (NT + 16u) + t / 64u) * NT + u / 64u); }
// The sum of a over the whole groups of 16 between those of t and u; t is in a later group of the same block.
fn middle(mh: u32, t: u32, u: u32) -> f32 { return between_at((mh * (NT + 16u) + NT) * NT + t / 16u * 4u + u / 16u % 4u); }
