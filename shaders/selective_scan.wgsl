// h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t x_t,  y_t = (C_t·h_t + D x_t)·SiLU(z_t),  Δ = softplus(dt), A = -exp(A_log).
// x, dt, y [m,l,e]; A_log [e,n]; bc [m,l,s] = [r | B: n | C: n]; D [e]; z [m,l,f] = [x | z: e]; state [m,e,n].
// Backward: states [m,k,e,n]; scan, dx, ddt [m,l,e]; dz [m,l,f]; skip [m,e]; parts [m,l,b,w]; dbc [m,l,s].
#include "lib/softplus.wgsl"
fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp(-x)); }

// @entry forward
fn first_h(at: u32) -> f32 {
  if (params.has_state == 1u) { return state[at]; }
  return 0.0;
}
fn keeps(t: u32) -> bool { return t == params.l && params.has_state == 1u; }
fn keep(i: u32, t: u32, at: u32, h: f32) { state[i * params.e * params.n + at] = h; }
fn finish(row: u32, j: u32, xt: f32, sum: f32) {
  let zt = z[row * params.f + params.f - params.e + j];
  y[row * params.e + j] = (sum + D[j] * xt) * zt * sigmoid(zt);
}
#include "lib/selective_scan.wgsl"

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  walk(flat(wg, nwg), lid);
}

// @entry backward_states
fn first_h(at: u32) -> f32 { return 0.0; }
fn keeps(t: u32) -> bool { return t % Q == 0u && t < params.l; }
fn keep(i: u32, t: u32, at: u32, h: f32) { states[(i * params.k + t / Q) * params.e * params.n + at] = h; }
fn finish(row: u32, j: u32, xt: f32, sum: f32) { scan[row * params.e + j] = sum; }
#include "lib/selective_scan.wgsl"

@compute @workgroup_size(WG)
fn backward_states(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  walk(flat(wg, nwg), lid);
}

// @entry backward_gate
// A thread takes one channel of one sequence down its positions.
@compute @workgroup_size(WG)
fn backward_gate(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  if (at >= params.m * params.e) { return; }
  let i = at / params.e;
  let j = at % params.e;
  let Dj = D[j];
  var sum = 0.0;
  for (var t = 0u; t < params.l; t++) {
    let row = i * params.l + t;
    let q = row * params.e + j;
    let zq = row * params.f + params.f - params.e + j;
    let zt = z[zq];
    let s = sigmoid(zt);
    // forward: y = (scan + D x)·SiLU(z)  ⇒  dscan = dy·SiLU(z), dx = D·dscan, dD += x·dscan, dz = dy·(scan + D x)·SiLU'(z)
    let g = dy[q] * zt * s;
    dz[zq] = dy[q] * (scan[q] + Dj * x[q]) * s * (1.0 + zt * (1.0 - s));
    scan[q] = g;
    dx[q] = Dj * g;
    sum += x[q] * g;
  }
  skip[at] = sum;
}

// @entry backward
// A workgroup walks CH channels of one sequence back, chunk by chunk of Q positions: forwards once more from the chunk's
// first h, keeping each position's, then back, P positions at a time between sums over threads. LANES threads share a
// channel, each with K states in registers.
const CH = WG / LANES;
var<workgroup> delta: array<f32, Q * CH>;
var<workgroup> delta_x: array<f32, Q * CH>;
var<workgroup> dscan: array<f32, Q * CH>;
var<workgroup> dh_B: array<f32, P * WG>;
var<workgroup> dh_Aah: array<f32, P * WG>;
var<workgroup> dBC: array<f32, P * 2 * K * WG>;

@compute @workgroup_size(WG)
fn backward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let tile = flat(wg, nwg);
  let i = tile / params.b;
  let block = tile % params.b;
  let j0 = block * CH;
  let n = params.n;
  let live = i < params.m;

  let c = lid / LANES;
  let k0 = (lid % LANES) * K;
  let own = select(0u, min(K, n - min(k0, n)), live && j0 + c < params.e);
  let jk = (j0 + c) * n + k0;
  var A: array<f32, K>;
  for (var k = 0u; k < K; k++) { if (k < own) { A[k] = -exp(A_log[jk + k]); } }
  var dh: array<f32, K>;
  var dA: array<f32, K>;
  var before: array<array<f32, K>, Q>;

  for (var chunk = params.k; chunk > 0u; chunk--) {
    let t0 = (chunk - 1u) * Q;
    let len = min(Q, params.l - t0);
    let row0 = i * params.l + t0;
    for (var o = lid; o < len * CH; o += WG) {
      let j = j0 + o % CH;
      if (live && j < params.e) {
        let at = (row0 + o / CH) * params.e + j;
        let d = softplus(dt[at]);
        delta[o] = d;
        delta_x[o] = d * x[at];
        dscan[o] = ddt[at];
      }
    }
    workgroupBarrier();
    var h: array<f32, K>;
    for (var k = 0u; k < K; k++) {
      // Said out loud: SwiftShader keeps the last turn's values of an array declared in a loop.
      h[k] = 0.0;
      if (k < own && chunk > 1u) { h[k] = states[(i * params.k + chunk - 1u) * params.e * n + jk + k]; }
    }
    for (var t = 0u; t < len; t++) {
      let B = (row0 + t + 1u) * params.s - 2u * n + k0;
      let d = delta[t * CH + c];
      let dx_t = delta_x[t * CH + c];
      before[t] = h;
      for (var k = 0u; k < K; k++) { if (k < own) { h[k] = exp(d * A[k]) * h[k] + dx_t * bc[B + k]; } }
    }
    for (var end = len; end > 0u;) {
      let start = max(end, P) - P;
      for (var t = end; t > start; t--) {
        let at = (t - 1u) * CH + c;
        let slot = t - 1u - start;
        let B = (row0 + t) * params.s - 2u * n + k0;
        let d = delta[at];
        let dx_t = delta_x[at];
        let g = dscan[at];
        var toB = 0.0;
        var toA = 0.0;
        for (var k = 0u; k < K; k++) {
          var dBk = 0.0;
          var dCk = 0.0;
          if (k < own) {
            // forward: scan = C·h  ⇒  dC += dscan·h, dh += dscan·C
            dCk = g * h[k];
            dh[k] += g * bc[B + n + k];
            // forward: h = exp(Δ A) h' + Δ x B  ⇒  dB += dh·Δ x, dA += dh·Δ exp(Δ A) h', dh' = exp(Δ A) dh
            dBk = dh[k] * dx_t;
            toB += dh[k] * bc[B + k];
            h[k] = before[t - 1u][k];
            dh[k] *= exp(d * A[k]);
            toA += dh[k] * h[k] * A[k];
            dA[k] += dh[k] * h[k] * d;
          }
          dBC[(slot * 2u * K + k) * WG + lid] = dBk;
          dBC[((slot * 2u + 1u) * K + k) * WG + lid] = dCk;
        }
        dh_B[slot * WG + lid] = toB;
        dh_Aah[slot * WG + lid] = toA;
      }
      workgroupBarrier();
      for (var o = lid; o < (end - start) * CH; o += WG) {
        let j = j0 + o % CH;
        if (live && j < params.e) {
          let at = (row0 + start + o / CH) * params.e + j;
          var toB = 0.0;
          var toA = 0.0;
          for (var q = 0u; q < LANES; q++) {
            toB += dh_B[o * LANES + q];
            toA += dh_Aah[o * LANES + q];
          }
          // forward: h = exp(Δ A) h' + Δ x B, Δ = softplus(dt)
          //   ⇒  dx += Δ dh·B, dΔ = dh·(A exp(Δ A) h' + x B), ddt = dΔ·σ(dt)
          dx[at] += delta[start * CH + o] * toB;
          ddt[at] = (toA + x[at] * toB) * sigmoid(dt[at]);
        }
      }
      for (var o = lid; o < (end - start) * 2u * n; o += WG) {
        let k = o % n;
        let first = ((o / n) * K + k % K) * WG + k / K;
        var sum = 0.0;
        for (var q = 0u; q < CH; q++) { sum += dBC[first + q * LANES]; }
        if (live) { parts[((row0 + start + o / (2u * n)) * params.b + block) * params.w + o % params.w] = sum; }
      }
      workgroupBarrier();
      end = start;
    }
  }
  // forward: A = -exp(A_log)  ⇒  dA_log = A·dA
  for (var k = 0u; k < K; k++) { if (k < own) { states[i * params.k * params.e * n + jk + k] = A[k] * dA[k]; } }
}

// @entry backward_sum
@compute @workgroup_size(WG)
fn backward_sum(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let o = flat(wg, nwg) * WG + lid;
  let rows = params.m * params.l;
  let en = params.e * params.n;
  var sum = 0.0;
  if (o < rows * params.w) {
    let row = o / params.w;
    let q = o % params.w;
    for (var c = 0u; c < params.b; c++) { sum += parts[(row * params.b + c) * params.w + q]; }
    dbc[(row + 1u) * params.s - params.w + q] = sum;
  } else if (o < rows * params.w + en) {
    let q = o - rows * params.w;
    for (var i = 0u; i < params.m; i++) { sum += states[i * params.k * en + q]; }
    dA_log[q] += sum;
  } else if (o < rows * params.w + en + params.e) {
    let j = o - rows * params.w - en;
    for (var i = 0u; i < params.m; i++) { sum += skip[i * params.e + j]; }
    dD[j] += sum;
  }
}
