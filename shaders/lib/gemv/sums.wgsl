// acc[r·M + i] = Σₖ w[row0 + r, k]·x_i[k] for R rows of w and M rows of x, by a team of 32 threads. A workgroup has WG / 32
// teams. A thread takes every 32nd chunk of 16 bytes of a row of w, which has K numbers. Then team_sums adds up the sums of all
// threads in an order that depends neither on M nor on R, which are powers of two. The including file defines x4(i, q), numbers
// 4q to 4q+3 of x_i.
const E = select(4u, 8u, HALF == 1u);
const LINE = K / E;
const STEPS = (LINE + 31u) / 32u;
const TEAMS = WG / 32u;
const NV = R * M;
// After team_sums a thread has EACH values from held(lane) on. COPIES - 1 neighbours have the same values.
const EACH = max(NV / 32u, 1u);
const COPIES = max(32u / NV, 1u);
alias Chunks = array<vec4<u32>, R>;
var<private> acc: array<f32, NV>;

fn held(lane: u32) -> u32 { return lane / COPIES * EACH; }

fn chunks(row0: u32, step: u32, lane: u32) -> Chunks {
  let c = min(step * 32u + lane, LINE - 1u);
  var v: Chunks;
  for (var r = 0u; r < R; r++) { v[r] = w_at(min(row0 + r, N - 1u) * LINE + c); }
  return v;
}

fn low(v: vec4<u32>) -> vec4f {
  if (HALF == 1u) { return vec4f(unpack2x16float(v.x), unpack2x16float(v.y)); }
  return bitcast<vec4f>(v);
}
fn high(v: vec4<u32>) -> vec4f { return vec4f(unpack2x16float(v.z), unpack2x16float(v.w)); }

fn dot_add(a: vec4f, b: vec4f, sum: f32) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

fn accumulate(v: Chunks, step: u32, lane: u32) {
  let c = step * 32u + lane;
  if (LINE % 32u != 0u && c >= LINE) { return; }
  for (var part = 0u; part < E / 4u; part++) {
    var a = array<vec4f, R>();
    for (var r = 0u; r < R; r++) {
      if (part == 0u) { a[r] = low(v[r]); } else { a[r] = high(v[r]); }
    }
    for (var i = 0u; i < M; i++) {
      let b = x4(i, c * (E / 4u) + part);
      for (var r = 0u; r < R; r++) { acc[r * M + i] = dot_add(a[r], b, acc[r * M + i]); }
    }
  }
}
