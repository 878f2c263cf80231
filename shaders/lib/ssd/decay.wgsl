// exp(a_{j+1} + … + a_i) for a sequence's head, mh = i·h + head, from what make_steps made. No exponent is positive, and nothing
// large is taken from something large: between blocks of 64 positions it is `into` i (from its block's first position), `across`
// the blocks in between, and `out` of j (to its block's last). Within a block the same goes for sixteens, and only within one
// sixteen are sums of a subtracted, c_i - c_j.
fn plane(mh: u32, k: u32, t: u32) -> f32 { return steps_at((mh * 5u + k) * LP + t); }
fn plane4(mh: u32, k: u32, t: u32) -> vec4f {
  let at = (mh * 5u + k) * LP + t;
  return vec4f(steps_at(at), steps_at(at + 1u), steps_at(at + 2u), steps_at(at + 3u));
}
const DT = 0u;
const C = 1u;
const V = 2u;
const INTO = 3u;
const OUT = 4u;
// t is in a later block than u.
fn across(mh: u32, t: u32, u: u32) -> f32 { return between_at((mh * (NT + 16u) + t / 64u) * NT + u / 64u); }
// t is in a later sixteen of the same block.
fn middle(mh: u32, t: u32, u: u32) -> f32 { return between_at((mh * (NT + 16u) + NT) * NT + t / 16u * 4u + u / 16u % 4u); }
