// The moments of an image's groups from those of its ranges of pixels. `gather` computes them for all groups, and then
// `moments_of` returns those of a column.
const SPAN = min(COLUMNS, 256u);
const ROWS = 256u / SPAN;
const TEAMS = 256u / TEAM;
var<workgroup> partial: array<f32, 256>;
var<workgroup> group_moments: array<vec2f, GROUPS>;

fn team_sum(value: f32, thread: u32) -> f32 {
  let lid = thread % 256u;
  workgroupBarrier();
  partial[lid] = value;
  workgroupBarrier();
  var sum = 0.0;
  for (var q = 0u; q < TEAM; q++) { sum += partial[lid / TEAM * TEAM + q]; }
  return sum;
}

fn gather(image: u32, lid: u32) {
  let n = f32(params.s * (params.c / GROUPS));
  for (var lap = 0u; lap < (GROUPS + TEAMS - 1u) / TEAMS; lap++) { let first = lap * TEAMS;
    let group = first + lid / TEAM;
    let at = (image * GROUPS + min(group, GROUPS - 1u)) * PARTS;
    var sum = 0.0;
    for (var lap = 0u; lap < MOST; lap++) {
      let part = (lid % TEAM) + lap * TEAM;
      if (!(part < PARTS)) { break; }
      let pixels = stretch(part);
      sum += f32(pixels.y - pixels.x) * parts_at(at + part).x;
    }
    let mean = team_sum(sum, lid) / f32(params.s);
    var square = 0.0;
    for (var lap = 0u; lap < MOST; lap++) {
      let part = (lid % TEAM) + lap * TEAM;
      if (!(part < PARTS)) { break; }
      let pixels = stretch(part);
      let d = parts_at(at + part).x - mean;
      square += parts_at(at + part).y + f32((pixels.y - pixels.x) * (params.c / GROUPS)) * d * d;
    }
    square = team_sum(square, lid);
    if (group < GROUPS && lid % TEAM == 0u) { group_moments[min(group, GROUPS - 1u)] = vec2f(mean, inverseSqrt(square / n + params.eps)); }
  }
  workgroupBarrier();
}

struct Moments { mean: vec4f, rstd: vec4f }
fn moments_of(column: u32) -> Moments {
  var m: Moments;
  for (var q = 0u; q < LANES; q++) {
    let of_group = group_moments[min((column * LANES + q) / (params.c / GROUPS), GROUPS - 1u)];
    m.mean[q] = of_group.x;
    m.rstd[q] = of_group.y;
  }
  return m;
}

fn x4(i: u32) -> vec4f { return vec4f(x_at(i)); }
fn weight4(i: u32) -> vec4f { return vec4f(weight_at(i)); }
fn bias4(i: u32) -> vec4f { return vec4f(bias_at(i)); }
