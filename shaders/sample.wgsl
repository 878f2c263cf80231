// tokens[b, step[b]++] ~ softmax(logits[b] / temperature), cut to top_k, top_p and min_p, with integer weights w = round(p·2³⁰).
#optional "lib/sample/by_four.wgsl"
#optional "lib/sample/by_one.wgsl"
#optional "lib/sample/shuffle.wgsl"
#optional "lib/sample/shared.wgsl"
#include "lib/threefry.wgsl"

// @entry forward, WG threads
// @in logits: f32 [b, v]
// @in seed: u32 [b, 2]
// @in kept?: u32 [b]
// @in noise?: u32 [b, t]
// @inout step: u32 [b]
// @inout tokens: u32 [b, t]
// A workgroup takes one image, and a thread takes PER neighbouring logits, as integer keys in the order of the logits. The cuts of
// top_k and top_p are found by radix selection on the keys: four histograms of 8 bits, highest bits first, of counts (top_k) or
// weights (top_p).
struct Cut {
  key: u32,
  // The sum over all keys ≥ key.
  sum: u32,
}
struct Scan {
  // Sums over this thread and those before it, and over all threads.
  upto: u32,
  all: u32,
}
const LOWEST = 0x00800000u;
// Tokens that are less probable than this have no weight.
const NO_MIN_P = -100.0;

// This thread's keys, which are 0 past the vocabulary, and its weights, which are 0 for tokens that are cut.
var<private> keys: array<u32, PER>;
var<private> weights: array<u32, PER>;
var<workgroup> most_key: atomic<u32>;
// A histogram in eight copies, so that threads seldom update the same bin at the same time.
var<workgroup> bins: array<atomic<u32>, 2048>;
// The bin that was found, the sum above it, and the sum in it.
var<workgroup> found: vec3u;
var<workgroup> drawn: u32;

// Infinities and NaN are recognised by their bits, since a compiler may assume that neither occurs.
fn key_of(x: f32) -> u32 {
  var bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) > 0x7f7fffffu) { bits = select(0xff7fffffu, 0x7f7fffffu, bits == 0x7f800000u); }
  if (bits == 0x80000000u) { bits = 0u; }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn value_of(key: u32) -> f32 { return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u)); }

// Returns the largest key for which the sum over all keys at least as large reaches `need`, in count or in weight.
fn cut_at(need: u32, weighted: bool, lid: u32) -> Cut {
  var key = 0u;
  var known = 0u;
  var above = 0u;
  var inside = 0u;
  for (var digit = 0u; digit < 4u; digit++) {
    let shift = 24u - 8u * digit;
    for (var q = 0u; q < 2048u / WG; q++) { atomicStore(&bins[q * WG + lid % WG], 0u); }
    workgroupBarrier();
    for (var q = 0u; q < PER; q++) {
      let k = keys[q];
      let amount = select(min(k, 1u), weights[q], weighted);
      if (amount > 0u && (k & known) == key) { atomicAdd(&bins[(k >> shift) % 256u * 8u + lid % 8u], amount); }
    }
    workgroupBarrier();
    var own = 0u;
    if (lid < 256u) {
      for (var q = 0u; q < 8u; q++) { own += atomicLoad(&bins[(255u - lid % 256u) * 8u + q]); }
    }
    let upto = above + scan(own, lid).upto;
    if (upto >= need && upto - own < need) { found = vec3u(255u - lid, upto - own, own); }
    workgroupBarrier();
    key |= found.x << shift;
    known |= 255u << shift;
    above = found.y;
    inside = found.z;
  }
  return Cut(key, above + inside);
}

// ⌊a·b / 2³²⌋
fn mul_high(a: u32, b: u32) -> u32 {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let mid = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let cross = (a & 0xffffu) * (b >> 16u) + (mid & 0xffffu);
  return (a >> 16u) * (b >> 16u) + (mid >> 16u) + (cross >> 16u);
}

fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let group = flat(wg, nwg);
  let image = min(group, params.b - 1u);
  let at = step_at(image);
  var most = LOWEST;
  for (var four = 0u; four < PER / 4u; four++) {
    let q = four * 4u;
    let j = lid * PER + q;
    if (j < params.v) {
      let x = quad(image * params.v + j);
      for (var c = 0u; c < 4u; c++) { if (j + c < params.v) { keys[q + c] = key_of(x[c]); } }
    }
    for (var c = 0u; c < 4u; c++) { most = max(most, keys[q + c]); }
  }
  atomicMax(&most_key, most);
  workgroupBarrier();
  let most_value = value_of(atomicLoad(&most_key));

  var least = LOWEST;
  if (params.top_k > 0u && params.top_k < params.v) { least = cut_at(params.top_k, false, lid).key; }

  // exp((x - most) / temperature). Below e⁻⁸⁰ the integer weight is 0 in any case.
  var odds: array<f32, PER>;
  var z = 0.0;
  for (var q = 0u; q < PER; q++) {
    if (keys[q] >= least) { odds[q] = exp(max((value_of(keys[q]) - most_value) / params.temperature, -80.0)); }
    z += odds[q];
  }
  let factor = 1073741824.0 / sum_of(z, lid);
  var own = 0u;
  for (var q = 0u; q < PER; q++) {
    weights[q] = u32(round(odds[q] * factor));
    own += weights[q];
  }
  var sums = scan(own, lid);
  if (params.top_p < 1.0 || params.log_min_p > NO_MIN_P) {
    var cut = key_of(most_value + params.temperature * params.log_min_p);
    if (params.top_p < 1.0) {
      cut = max(cut, cut_at(clamp(u32(ceil(params.top_p * f32(sums.all))), 1u, sums.all), true, lid).key);
    }
    own = 0u;
    for (var q = 0u; q < PER; q++) {
      if (keys[q] < cut) { weights[q] = 0u; }
      own += weights[q];
    }
    sums = scan(own, lid);
  }

  // The running sum passes the goal among the tokens of one thread, which finds the token.
  var word = threefry2x32(vec2u(seed_at(2u * image), seed_at(2u * image + 1u)), vec2u(at, 0u)).x;
  if (params.has_noise == 1u && at < params.t) { word = noise_at(image * params.t + at); }
  let goal = mul_high(word, sums.all);
  var run = sums.upto - own;
  if (run <= goal && run + own > goal) {
    var at_q = 0u;
    for (var q = 0u; q < PER; q++) {
      run += weights[q];
      if (run <= goal) { at_q = q + 1u; }
    }
    drawn = lid * PER + at_q;
  }
  workgroupBarrier();
  if (lid == 0u && group == image && at < params.t) {
    // A kept token is there already. To leave earlier would end barriers that all threads of a workgroup must reach.
    var keep = false;
    if (params.has_kept == 1u) { keep = at < kept_at(image); }
    if (!keep) { tokens_put(image * params.t + at, drawn); }
    step_put(image, at + 1u);
  }
}
