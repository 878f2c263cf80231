// Attention of one position, for one head of queries. A thread scores one key of every WG. The weighted values are summed by threads
// that take one vector of channels (`column`) of every WG / COLUMNS keys. No barrier depends on the position, for series.
const LEAST = -3e38;
var<workgroup> query: array<V, COLUMNS>;
var<workgroup> weights: array<f32, WG>;
var<workgroup> sums: array<V, WG>;
var<workgroup> lanes: array<f32, WG>;

fn together(value: f32, thread: u32, largest: bool) -> f32 {
  let lid = thread % WG;
  workgroupBarrier();
  lanes[lid] = value;
  for (var lap = 0u; lap < 32u; lap++) { let n = (WG / 2u) >> lap; if (!(n > 0u)) { break; }
    workgroupBarrier();
    if (lid < n) { lanes[lid] = select(lanes[lid] + lanes[(lid + n) % WG], max(lanes[lid], lanes[(lid + n) % WG]), largest); }
  }
  workgroupBarrier();
  return lanes[0];
}

fn attend(at: u32, thread: u32) {
  let lid = thread % WG;
  if (at >= params.m * params.h) { return; }
  let i = at / params.h;
  let head = at % params.h;
  let g = (params.n - params.h) / 2u;
  let served = head * g / params.h;
  let width = params.c / WIDTH;
  let own = i * params.n * width;
  let own_key = own + (params.h + served) * width;
  let own_value = own_key + g * width;
  var past = 0u;
  if (params.has_step == 1u) { past = min(step_at(i % params.b), params.t - 1u); }
  let cache = (i * params.t * g + served) * width;
  if (lid < width) { query[lid % COLUMNS] = qkv_at(own + head * width + lid) * params.scale; }
  workgroupBarrier();
  let column = lid % COLUMNS;
  var most = LEAST;
  var mass = 0.0;
  var sum = V();
  for (var lap = 0u; lap < MOST; lap++) { let j0 = lap * WG; if (!(j0 < max(params.t, 1u))) { break; }
    let j = j0 + lid;
    var score = LEAST;
    if (j <= past) {
      var product = V();
      if (j < past) {
        for (var e = 0u; e < MOST; e++) { if (!(e < width)) { break; } product += query[min(e, COLUMNS - 1u)] * keys_at(cache + j * g * width + e); }
      } else {
        for (var e = 0u; e < MOST; e++) { if (!(e < width)) { break; } product += query[min(e, COLUMNS - 1u)] * qkv_at(own_key + e); }
      }
      score = total(product);
    }
    let m = max(most, together(score, lid, true));
    let shrink = exp(most - m);
    let p = select(0.0, exp(score - m), j <= past);
    mass = mass * shrink + p;
    weights[lid] = p;
    workgroupBarrier();
    sum *= shrink;
    if (column < width) {
      for (var lap = 0u; lap < MOST; lap++) {
        let q = (lid / COLUMNS) + lap * (WG / COLUMNS);
        if (!(q < WG && j0 + q <= past)) { break; }
        if (j0 + q < past) { sum += weights[q % WG] * values_at(cache + (j0 + q) * g * width + column); }
        else { sum += weights[q % WG] * qkv_at(own_value + column); }
      }
    }
    most = m;
  }
  sums[lid] = sum;
  let all = together(mass, lid, false);
  if (lid < width) {
    var y = V();
    for (var lap = 0u; lap < MOST; lap++) { let q = lid + lap * COLUMNS; if (!(q < WG)) { break; } y += sums[q % WG]; }
    y_put(at * width + lid, y / all);
    // The first of the heads that share keys and values stores them. Other workgroups do not read this position.
    if (params.has_keys == 1u && head % (params.h / g) == 0u) {
      keys_put(cache + past * g * width + lid, qkv_at(own_key + lid));
      values_put(cache + past * g * width + lid, qkv_at(own_value + lid));
    }
  }
  if (params.has_lse == 1u && lid == 0u) { lse_put(at, most + log(all)); }
}
