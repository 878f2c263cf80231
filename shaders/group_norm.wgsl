// y = (x - mean)/√(var + eps)·weight + bias over each group of channels; with swish, SiLU of that.
// One workgroup per group: neighbouring threads take neighbouring channels, then the next pixel. LANES channels at a time.
var<workgroup> partial: array<f32, 256>;

fn total(value: f32, lid: u32) -> f32 {
  workgroupBarrier();
  partial[lid] = value;
  for (var n = 128u; n > 0u; n /= 2u) {
    workgroupBarrier();
    if (lid < n) { partial[lid] += partial[lid + n]; }
  }
  workgroupBarrier();
  return partial[0];
}

struct Group { first: u32, channel: u32, width: u32, pixel: u32, count: u32 }

// In vectors of LANES: a group's first element and channel, its channels, elements of a pixel, elements of the group.
fn group_of(at: u32) -> Group {
  let width = params.c / params.groups / LANES;
  let channel = at % params.groups * width;
  let pixel = params.c / LANES;
  return Group(at / params.groups * params.s * pixel + channel, channel, width, pixel, params.s * width);
}

fn element(g: Group, i: u32) -> u32 { return g.first + i / g.width * g.pixel + i % g.width; }

// Only the first LANES lanes count.
fn lanes(v: vec4f) -> f32 { return select(v.x, v.x + v.y + v.z + v.w, LANES == 4u); }

struct Moments { mean: f32, rstd: f32 }

fn moments(g: Group, lid: u32) -> Moments {
  let n = f32(g.count * LANES);
  var sum = vec4f();
  for (var i = lid; i < g.count; i += 256u) { sum += x4(element(g, i)); }
  let mean = total(lanes(sum), lid) / n;
  var square = vec4f();
  for (var i = lid; i < g.count; i += 256u) {
    let d = x4(element(g, i)) - mean;
    square += d * d;
  }
  return Moments(mean, inverseSqrt(total(lanes(square), lid) / n + params.eps));
}

fn normalise(wg: vec3u, nwg: vec3u, lid: u32) {
  let at = flat(wg, nwg);
  if (at >= params.b * params.groups) { return; }
  let g = group_of(at);
  let m = moments(g, lid);
  for (var i = lid; i < g.count; i += 256u) {
    let e = element(g, i);
    let ch = g.channel + i % g.width;
    var v = (x4(e) - m.mean) * m.rstd * weight4(ch) + bias4(ch);
    if (params.swish == 1u) { v = v / (1.0 + exp(-v)); }
    put(e, v);
  }
}

// @entry forward
fn x4(i: u32) -> vec4f { return vec4f(x[i]); }
fn weight4(i: u32) -> vec4f { return vec4f(weight[i]); }
fn bias4(i: u32) -> vec4f { return vec4f(bias[i]); }
fn put(i: u32, v: vec4f) { y[i] = v.x; }

@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  normalise(wg, nwg, lid);
}

// @entry forward_vec4
fn x4(i: u32) -> vec4f { return x[i]; }
fn weight4(i: u32) -> vec4f { return weight[i]; }
fn bias4(i: u32) -> vec4f { return bias[i]; }
fn put(i: u32, v: vec4f) { y[i] = v; }

@compute @workgroup_size(256)
fn forward_vec4(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  normalise(wg, nwg, lid);
}

// @entry backward
// A thread keeps to one channel of the group, so that what it sums is a part of that channel's dweight and dbias.
fn x4(i: u32) -> vec4f { return vec4f(x[i]); }
fn weight4(i: u32) -> vec4f { return vec4f(weight[i]); }
fn bias4(i: u32) -> vec4f { return vec4f(bias[i]); }
fn put(i: u32, v: vec4f) { dx[i] = v.x; }

var<workgroup> partial_bias: array<f32, 256>;

// forward: y = v·σ(v)  ⇒  dv = dy·σ(v)·(1 + v·(1 - σ(v)))
fn dv(i: u32, v: f32) -> f32 {
  if (params.swish == 0u) { return dy[i]; }
  let s = 1.0 / (1.0 + exp(-v));
  return dy[i] * s * (1.0 + v * (1.0 - s));
}

@compute @workgroup_size(256)
fn backward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let at = flat(wg, nwg);
  if (at >= params.b * params.groups) { return; }
  let g = group_of(at);
  let m = moments(g, lid);
  var first = 0.0;
  var second = 0.0;
  // forward: v = unit·weight + bias  ⇒  dweight += dv·unit, dbias += dv, dunit = dv·weight
  for (var c0 = 0u; c0 < g.width; c0 += 256u) {
    let width = min(256u, g.width - c0);
    let rows = 256u / width;
    let ch = g.channel + c0 + lid % width;
    var dw = 0.0;
    var db = 0.0;
    if (lid < rows * width) {
      for (var p = lid / width; p < params.s; p += rows) {
        let i = g.first + p * g.pixel + c0 + lid % width;
        let unit = (x[i] - m.mean) * m.rstd;
        let d = dv(i, unit * weight[ch] + bias[ch]);
        dw += d * unit;
        db += d;
      }
    }
    workgroupBarrier();
    partial[lid] = dw;
    partial_bias[lid] = db;
    workgroupBarrier();
    if (lid < width) {
      for (var r = 1u; r < rows; r++) {
        dw += partial[lid + r * width];
        db += partial_bias[lid + r * width];
      }
      first += db * weight[ch];
      second += dw * weight[ch];
      let o = at / params.groups * params.c + ch;
      dweight[o] += dw;
      dbias[o] += db;
    }
  }
  // forward: unit = (x - mean)·rstd  ⇒  dx = rstd·(dunit - mean(dunit) - unit·mean(dunit·unit))
  let mean_first = total(first, lid) / f32(g.count);
  let mean_second = total(second, lid) / f32(g.count);
  for (var n = lid; n < g.count; n += 256u) {
    let i = element(g, n);
    let ch = g.channel + n % g.width;
    let unit = (x[i] - m.mean) * m.rstd;
    let d = dv(i, unit * weight[ch] + bias[ch]) * weight[ch];
    put(i, vec4f(m.rstd * (d - mean_first - unit * mean_second)));
  }
}
