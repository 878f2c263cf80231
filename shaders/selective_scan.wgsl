// h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t x_t,  y_t = (C_t·h_t + D x_t)·SiLU(z_t),  Δ = softplus(dt), A = -exp(A_log).
// Forward: x, dt, y [m,l,e]; A_log [e,n]; bc [m,l,s] = [r | B: n | C: n]; D [e]; z [m,l,f] = [x | z: e]; state [m,e,n].
// Backward: states [m,k,e,n]; scan, dx, ddt [m,l,e]; dz [m,l,f]; skip [m,e]; parts [m,l,b,w]; dbc [m,l,s].
#include "lib/softplus.wgsl"
fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp(-x)); }

// @entry forward, WG threads
// @in x: f32 [m, l, e]
// @in dt: f32 [m, l, e]
// @in A_log: f32 [e, n]
// @in bc: f32 [m, l, s]
// @in D: f32 [e]
// @in z: f32 | f16 [m, l, f]
// @inout state?: f32 [m, e, n]
// @out y: f32 | f16 [m, l, e]
fn first_h(at: u32) -> f32 {
  if (params.has_state == 1u) { return state_at(at); }
  return 0.0;
}
fn keeps(t: u32) -> bool { return t == params.l && params.has_state == 1u; }
fn keep(i: u32, t: u32, at: u32, h: f32) { state_put(i * params.e * params.n + at, h); }
fn finish(row: u32, j: u32, xt: f32, sum: f32) {
  let zt = z_at(row * params.f + params.f - params.e + j);
  y_put(row * params.e + j, (sum + D_at(j) * xt) * zt * sigmoid(zt));
}
#include "lib/selective_scan.wgsl"

fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  walk(flat(wg, nwg), lid);
}

// @entry backward_states, WG threads
// @in x: f32 [m, l, e]
// @in dt: f32 [m, l, e]
// @in A_log: f32 [e, n]
// @in bc: f32 [m, l, s]
// @out states: f32 [m, k, e, n]
// @out scan: f32 [m, l, e]
fn first_h(at: u32) -> f32 { return 0.0; }
fn keeps(t: u32) -> bool { return t % Q == 0u && t < params.l; }
fn keep(i: u32, t: u32, at: u32, h: f32) { states_put((i * params.k + t / Q) * params.e * params.n + at, h); }
fn finish(row: u32, j: u32, xt: f32, sum: f32) { scan_put(row * params.e + j, sum); }
#include "lib/selective_scan.wgsl"

fn backward_states(wg: vec3u, nwg: vec3u, lid: u32) {
  walk(flat(wg, nwg), lid);
}

// @entry backward_gate, WG threads
// @in x: f32 [m, l, e]
// @in D: f32 [e]
// @in z: f32 | f16 [m, l, f]
// @in dy: f32 | f16 [m, l, e]
// @inout scan: f32 [m, l, e]
// @out dx: f32 [m, l, e]
// @inout dz: f32 | f16 [m, l, f]
// @out skip: f32 [m, e]
// A thread processes all positions of one channel of one sequence.
fn backward_gate(wg: vec3u, nwg: vec3u, lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  if (at >= params.m * params.e) { return; }
  let i = at / params.e;
  let j = at % params.e;
  let Dj = D_at(j);
  var sum = 0.0;
  for (var t = 0u; t < MOST; t++) { if (!(t < params.l)) { break; }
    let row = i * params.l + t;
    let q = row * params.e + j;
    let zq = row * params.f + params.f - params.e + j;
    let zt = z_at(zq);
    let s = sigmoid(zt);
    // forward: y = (scan + D x)·SiLU(z)  ⇒  dscan = dy·SiLU(z), dx = D·dscan, dD += x·dscan, dz = dy·(scan + D x)·SiLU'(z)
    let g = dy_at(q) * zt * s;
    dz_put(zq, dy_at(q) * (scan_at(q) + Dj * x_at(q)) * s * (1.0 + zt * (1.0 - s)));
    scan_put(q, g);
    dx_put(q, Dj * g);
    sum += x_at(q) * g;
  }
  skip_put(at, sum);
}

// @entry backward, WG threads
// @in x: f32 [m, l, e]
// @in dt: f32 [m, l, e]
// @in A_log: f32 [e, n]
// @in bc: f32 [m, l, s]
// @inout states: f32 [m, k, e, n]
// @inout dx: f32 [m, l, e]
// @inout ddt: f32 [m, l, e]
// @out parts: f32 [m, l, b, w]
// A workgroup processes CH channels of one sequence backwards, in chunks of 16 positions. LANES threads share 4 channels, and
// each holds 4 states of every channel in a vector, so that most terms of sums over channels and over states are within a thread.
// From the stored h at the start of the chunk it computes h at every fourth position again, and from these, four positions at a
// time, all h of the chunk. Positions and states past an end have Δ = x = dscan = A = B = C = 0, which changes nothing.
const GROUPS = WG / LANES;
const CH = GROUPS * 4u;
const Q = 16u;
var<workgroup> delta: array<vec4f, Q * GROUPS>;
var<workgroup> delta_x: array<vec4f, Q * GROUPS>;
var<workgroup> BC: array<vec4f, Q * 2 * LANES>;
var<workgroup> to_dB: array<vec4f, WG>;
var<workgroup> to_dC: array<vec4f, WG>;
var<workgroup> dh_B: array<vec4f, WG>;
var<workgroup> dh_Aah: array<vec4f, WG>;
alias Four = array<vec4f, 4>;

fn next(h: Four, A: Four, at: u32, B: vec4f) -> Four {
  let d = delta[at];
  let u = delta_x[at];
  return Four(exp(d.x * A[0]) * h[0] + u.x * B, exp(d.y * A[1]) * h[1] + u.y * B, exp(d.z * A[2]) * h[2] + u.z * B, exp(d.w * A[3]) * h[3] + u.w * B);
}

fn backward(wg: vec3u, nwg: vec3u, lid: u32) {
  let tile = flat(wg, nwg);
  let i = tile / params.b;
  if (i >= params.m) { return; }
  let block = tile % params.b;
  let j0 = block * CH;
  let n = params.n;
  let lane = lid % LANES;
  let group = lid / LANES;
  let en = params.e * n;

  // The index of this thread's states of channel r, and their number.
  let jk = (j0 + group * 4u) * n + lane * 4u;
  let channels = params.e - min(params.e, j0 + group * 4u);
  let own = min(4u, n - min(n, lane * 4u));
  var A: Four;
  for (var r = 0u; r < 4u; r++) {
    A[r] = vec4f();
    for (var k = 0u; k < 4u; k++) { if (r < channels && k < own) { A[r][k] = -exp(A_log_at(jk + r * n + k)); } }
  }
  var dh: Four;
  var dA: Four;

  for (var lap = 0u; lap < MOST; lap++) { let chunk = params.k - lap; if (!(chunk > 0u)) { break; }
    let t0 = (chunk - 1u) * Q;
    let len = min(Q, params.l - t0);
    let row0 = i * params.l + t0;
    for (var lap = 0u; lap < MOST; lap++) { let o = lid + lap * WG; if (!(o < Q * GROUPS)) { break; }
      var d = vec4f();
      var u = vec4f();
      for (var r = 0u; r < 4u; r++) {
        let j = j0 + o % GROUPS * 4u + r;
        if (o / GROUPS < len && j < params.e) {
          let at = (row0 + o / GROUPS) * params.e + j;
          d[r] = softplus(dt_at(at));
          u[r] = d[r] * x_at(at);
        }
      }
      delta[o] = d;
      delta_x[o] = u;
    }
    for (var lap = 0u; lap < MOST; lap++) { let o = lid + lap * WG; if (!(o < Q * 2u * LANES)) { break; }
      var v = vec4f();
      let t = o / LANES / 2u;
      for (var k = 0u; k < 4u; k++) {
        let state = o % LANES * 4u + k;
        if (t < len && state < n) { v[k] = bc_at((row0 + t + 1u) * params.s - (2u - o / LANES % 2u) * n + state); }
      }
      BC[o] = v;
    }
    workgroupBarrier();
    var h = Four();
    for (var r = 0u; r < 4u; r++) {
      h[r] = vec4f();
      for (var k = 0u; k < 4u; k++) {
        if (r < channels && k < own && chunk > 1u) { h[r][k] = states_at((i * params.k + chunk - 1u) * en + jk + r * n + k); }
      }
    }
    var starts = array<Four, 4>();
    for (var t = 0u; t < Q; t++) {
      if (t % 4u == 0u) { starts[t / 4u] = h; }
      h = next(h, A, t * GROUPS + group, BC[t * 2u * LANES + lane]);
    }
    for (var lap = 0u; lap < MOST; lap++) { let quarter = 4u - lap; if (!(quarter > 0u)) { break; }
      let first = quarter * 4u - 4u;
      var g = Four();
      for (var t = 0u; t < 4u; t++) {
        g[t] = vec4f();
        let at = (row0 + first + t) * params.e + j0 + group * 4u;
        for (var r = 0u; r < 4u; r++) { if (first + t < len && r < channels) { g[t][r] = ddt_at(at + r); } }
      }
      h = starts[quarter - 1u];
      var before = array<Four, 4>();
      for (var t = 0u; t < 4u; t++) {
        before[t] = h;
        h = next(h, A, (first + t) * GROUPS + group, BC[(first + t) * 2u * LANES + lane]);
      }
      for (var back = 0u; back < 4u; back++) {
        let t = first + 3u - back;
        let B = BC[t * 2u * LANES + lane];
        let C = BC[(t * 2u + 1u) * LANES + lane];
        let d = delta[t * GROUPS + group];
        let u = delta_x[t * GROUPS + group];
        var dB = vec4f();
        var dC = vec4f();
        var toB = vec4f();
        var toA = vec4f();
        for (var r = 0u; r < 4u; r++) {
          // forward: scan = C·h  ⇒  dC += dscan·h, dh += dscan·C
          dC += g[3u - back][r] * h[r];
          dh[r] += g[3u - back][r] * C;
          // forward: h = exp(Δ A) h' + Δ x B  ⇒  dB += dh·Δ x, dA += dh·Δ exp(Δ A) h', dh' = exp(Δ A) dh
          dB += u[r] * dh[r];
          toB[r] = dot(dh[r], B);
          h[r] = before[3u - back][r];
          dh[r] *= exp(d[r] * A[r]);
          let w = dh[r] * h[r];
          toA[r] = dot(w, A[r]);
          dA[r] += d[r] * w;
        }
        to_dB[lid] = dB;
        to_dC[lid] = dC;
        dh_B[lid] = toB;
        dh_Aah[lid] = toA;
        workgroupBarrier();
        // The position is finished, so its Δ and Δx are replaced by the values that the end of the chunk needs.
        if (lid < GROUPS) {
          var sum = vec4f();
          for (var q = 0u; q < LANES; q++) { sum += dh_B[lid * LANES + q]; }
          delta_x[t * GROUPS + lid] = sum;
        } else if (lid < 2u * GROUPS) {
          var sum = vec4f();
          for (var q = 0u; q < LANES; q++) { sum += dh_Aah[(lid - GROUPS) * LANES + q]; }
          delta[t * GROUPS + lid - GROUPS] = sum;
        }
        for (var lap = 0u; lap < MOST; lap++) {
          let o = (WG - 1u - lid) + lap * WG;
          if (!(t < len && o < params.w)) { break; }
          let state = o % n;
          var sum = 0.0;
          for (var q = 0u; q < GROUPS; q++) {
            let at = q * LANES + state / 4u;
            sum += select(to_dC[at], to_dB[at], o < n)[state % 4u];
          }
          parts_put(((row0 + t) * params.b + block) * params.w + o, sum);
        }
        workgroupBarrier();
      }
    }
    for (var lap = 0u; lap < MOST; lap++) { let o = lid + lap * WG; if (!(o < len * CH)) { break; }
      let j = j0 + o % CH;
      if (j < params.e) {
        let at = (row0 + o / CH) * params.e + j;
        let toB = delta_x[o / 4u][o % 4u];
        let raw = dt_at(at);
        // forward: h = exp(Δ A) h' + Δ x B, Δ = softplus(dt)
        //   ⇒  dx += Δ dh·B, dΔ = dh·(A exp(Δ A) h' + x B), ddt = dΔ·σ(dt)
        dx_add(at, softplus(raw) * toB);
        ddt_put(at, (delta[o / 4u][o % 4u] + x_at(at) * toB) * sigmoid(raw));
      }
    }
    workgroupBarrier();
  }
  // forward: A = -exp(A_log)  ⇒  dA_log = A·dA
  for (var r = 0u; r < 4u; r++) {
    for (var k = 0u; k < 4u; k++) { if (r < channels && k < own) { states_put(i * params.k * en + jk + r * n + k, A[r][k] * dA[r][k]); } }
  }
}

// @entry backward_sum, WG threads
// @in states: f32 [m, k, e, n]
// @in parts: f32 [m, l, b, w]
// @in skip: f32 [m, e]
// @inout dbc: f32 [m, l, s]
// @inout dA_log: f32 [e, n]
// @inout dD: f32 [e]
fn backward_sum(wg: vec3u, nwg: vec3u, lid: u32) {
  let o = flat(wg, nwg) * WG + lid;
  let rows = params.m * params.l;
  let en = params.e * params.n;
  var sum = 0.0;
  if (o < rows * params.w) {
    let row = o / params.w;
    let q = o % params.w;
    for (var c = 0u; c < MOST; c++) { if (!(c < params.b)) { break; } sum += parts_at((row * params.b + c) * params.w + q); }
    dbc_put((row + 1u) * params.s - params.w + q, sum);
  } else if (o < rows * params.w + en) {
    let q = o - rows * params.w;
    for (var i = 0u; i < MOST; i++) { if (!(i < params.m)) { break; } sum += states_at(i * params.k * en + q); }
    dA_log_add(q, sum);
  } else if (o < rows * params.w + en + params.e) {
    let j = o - rows * params.w - en;
    for (var i = 0u; i < MOST; i++) { if (!(i < params.m)) { break; } sum += skip_at(i * params.e + j); }
    dD_add(j, sum);
  }
}
