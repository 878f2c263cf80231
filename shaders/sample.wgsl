// tokens[b, step[b]++] ~ softmax(logits[b] / temperature) cut to top_k and top_p, in integers w = round(p·2³⁰).
#include "lib/threefry.wgsl"
#include "lib/workgroup_sum.wgsl"

// @entry forward
// A workgroup per image. Both cuts are found by radix selection on keys that order as the logits do: four histograms of 8
// bits, from the top, of counts (top_k) or weights (top_p). Keys and weights are computed anew from the logits wherever they
// are wanted; the logits stay in the cache.
struct Cut {
  key: u32,
  // Over keys ≥ key.
  sum: u32,
}
struct Scan {
  // Of this thread and those before it, and of all.
  upto: u32,
  all: u32,
}
struct Softmax {
  most: f32,
  // 2³⁰ / Σ exp
  factor: f32,
}
const LOWEST = 0x00800000u;

var<workgroup> most_key: atomic<u32>;
// A histogram in eight copies, so that threads seldom meet in a bin; later a stretch of weights.
var<workgroup> bins: array<atomic<u32>, 2048>;
var<workgroup> scan_parts: array<u32, 256>;
var<workgroup> scan_rows: array<u32, 16>;
// Bin, sum above it, sum in it.
var<workgroup> found: vec3u;
var<workgroup> drawn: u32;

// Infinities and NaN are told by their bits: a compiler may assume that neither occurs.
fn key_of(x: f32) -> u32 {
  var bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) > 0x7f7fffffu) { bits = select(0xff7fffffu, 0x7f7fffffu, bits == 0x7f800000u); }
  if (bits == 0x80000000u) { bits = 0u; }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn value_of(key: u32) -> f32 { return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u)); }

// exp((x - most) / temperature); below e⁻⁸⁰ a weight is 0 anyway.
fn odds(key: u32, most: f32) -> f32 { return exp(max((value_of(key) - most) / params.temperature, -80.0)); }

fn weight(key: u32, s: Softmax) -> u32 { return u32(round(odds(key, s.most) * s.factor)); }

fn scan(v: u32, lid: u32) -> Scan {
  scan_parts[lid] = v;
  workgroupBarrier();
  if (lid < 16u) {
    var row = 0u;
    for (var q = lid * 16u; q < lid * 16u + 16u; q++) {
      row += scan_parts[q];
      scan_parts[q] = row;
    }
    scan_rows[lid] = row;
  }
  workgroupBarrier();
  var result = Scan(scan_parts[lid], 0u);
  for (var q = 0u; q < 16u; q++) {
    if (q == lid / 16u) { result.upto += result.all; }
    result.all += scan_rows[q];
  }
  return result;
}

// The largest key that, with the keys above it and of those ≥ least, reaches `need` in count or in weight.
fn cut_at(need: u32, weighted: bool, s: Softmax, least: u32, image: u32, lid: u32) -> Cut {
  var key = 0u;
  var known = 0u;
  var above = 0u;
  var inside = 0u;
  for (var digit = 0u; digit < 4u; digit++) {
    let shift = 24u - 8u * digit;
    for (var q = lid; q < 2048u; q += 256u) { atomicStore(&bins[q], 0u); }
    workgroupBarrier();
    for (var i = lid; i < params.v; i += 256u) {
      let k = key_of(logits[image * params.v + i]);
      if ((k & known) == key && k >= least) {
        var amount = 1u;
        if (weighted) { amount = weight(k, s); }
        atomicAdd(&bins[((k >> shift) & 255u) * 8u + lid % 8u], amount);
      }
    }
    workgroupBarrier();
    let bin = 255u - lid;
    var own = 0u;
    for (var q = 0u; q < 8u; q++) { own += atomicLoad(&bins[bin * 8u + q]); }
    let upto = above + scan(own, lid).upto;
    if (upto >= need && upto - own < need) { found = vec3u(bin, upto - own, own); }
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

@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let image = flat(wg, nwg);
  let at = step[image];
  let first = image * params.v;
  var most = LOWEST;
  for (var i = lid; i < params.v; i += 256u) { most = max(most, key_of(logits[first + i])); }
  atomicMax(&most_key, most);
  workgroupBarrier();
  var s = Softmax(value_of(atomicLoad(&most_key)), 0.0);

  var cut = Cut(LOWEST, 0u);
  if (params.top_k > 0u && params.top_k < params.v) { cut = cut_at(params.top_k, false, s, LOWEST, image, lid); }

  var z = 0.0;
  for (var i = lid; i < params.v; i += 256u) {
    let key = key_of(logits[first + i]);
    if (key >= cut.key) { z += odds(key, s.most); }
  }
  s.factor = 1073741824.0 / workgroup_sum(z, lid);
  var kept = 0u;
  for (var i = lid; i < params.v; i += 256u) {
    let key = key_of(logits[first + i]);
    if (key >= cut.key) { kept += weight(key, s); }
  }
  cut.sum = scan(kept, lid).all;
  if (params.top_p < 1.0) {
    let need = clamp(u32(ceil(params.top_p * f32(cut.sum))), 1u, cut.sum);
    cut = cut_at(need, true, s, cut.key, image, lid);
  }

  // The running sum in the order of the vocabulary, 2048 weights at a time, eight to a thread.
  let goal = mul_high(threefry2x32(vec2u(seed[2u * image], seed[2u * image + 1u]), vec2u(at, 0u)).x, cut.sum);
  var before = 0u;
  for (var i0 = 0u; i0 < params.v; i0 += 2048u) {
    for (var q = lid; q < 2048u; q += 256u) {
      var w = 0u;
      if (i0 + q < params.v) {
        let key = key_of(logits[first + i0 + q]);
        if (key >= cut.key) { w = weight(key, s); }
      }
      atomicStore(&bins[q], w);
    }
    workgroupBarrier();
    var own = 0u;
    for (var q = 0u; q < 8u; q++) { own += atomicLoad(&bins[lid * 8u + q]); }
    let sums = scan(own, lid);
    var run = before + sums.upto - own;
    if (run <= goal && run + own > goal) {
      var q = lid * 8u;
      for (run += atomicLoad(&bins[q]); run <= goal; run += atomicLoad(&bins[q])) { q++; }
      drawn = i0 + q;
    }
    before += sums.all;
    workgroupBarrier();
  }
  if (lid == 0u && image < params.b && at < params.t) {
    tokens[image * params.t + at] = drawn;
    step[image] = at + 1u;
  }
}
