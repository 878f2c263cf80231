// acc[r·M + i] = Σₖ w[row0 + r, k]·x_i[k] for R rows of w and M rows of x, by a team of 32 threads. A workgroup has WG / 32
// teams. A thread takes every 32nd chunk of 16 bytes of a row of w, which has K numbers. Then team_sums adds up the sums of all
// threads in an order that depends neither on M nor on R, which are powers of two. The including file defines x4(i, q), numbers
// 4q to 4q+3 of x_i. Sums and chunks are written out: where an array of them has an index that is not constant, all its registers go to
// memory. What bounds these repetitions are constants of the plan (src/ops/gemv.ts).
const E = select(4u, 8u, HALF == 1u);
const LINE = K / E;
const TEAMS = WG / 32u;
const NV = R * M;
// After team_sums a thread has EACH = max(NV / 32, 1) values from held(lane) on. COPIES - 1 neighbours have the same values.
const COPIES = max(32u / NV, 1u);
alias Chunks = array<vec4<u32>, R>;
var<private> acc: array<f32, NV>;

fn held(lane: u32) -> u32 { return lane / COPIES * EACH; }

fn chunks(row0: u32, step: u32, lane: u32) -> Chunks {
  let c = min(step * 32u + lane, LINE - 1u);
  var v: Chunks;
#repeat r R
  v[$r] = w_at(min(row0 + $r, N - 1u) * LINE + c);
#end
  return v;
}

fn quad0(v: vec4<u32>) -> vec4f {
  if (HALF == 1u) { return vec4f(unpack2x16float(v.x), unpack2x16float(v.y)); }
  return bitcast<vec4f>(v);
}
fn quad1(v: vec4<u32>) -> vec4f { return vec4f(unpack2x16float(v.z), unpack2x16float(v.w)); }

fn dot_add(a: vec4f, b: vec4f, sum: f32) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

fn accumulate(v: Chunks, step: u32, lane: u32) {
  let c = step * 32u + lane;
  if (LINE % 32u != 0u && c >= LINE) { return; }
#repeat part Q
  {
    let a = array<vec4f, R>(
#repeat r R
      quad$part(v[$r]),
#end
    );
#repeat i M
    {
      let b = x4($i, c * (E / 4u) + $part);
#repeat r R
      acc[$r * M + $i] = dot_add(a[$r], b, acc[$r * M + $i]);
#end
    }
#end
  }
#end
}
