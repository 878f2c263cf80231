// y[m,n] = Σₖ x[m,k]·w[n,k] (+ bias[n]) (+ residual[m,n]).
fn epilogue(sum: f32, i: u32, j: u32) -> f32 {
  var value = sum;
  if (params.has_bias == 1u) { value += bias[j]; }
  if (params.has_residual == 1u) { value += residual[i * params.n + j]; }
  return value;
}

// @entry forward
// One workgroup of 16×16 threads makes a BM×BN tile of y, each thread a 4×4 part; slices of BK columns go through
// workgroup memory.
var<workgroup> xs: array<f32, BK * BM>;
var<workgroup> ws: array<f32, BK * BN>;

@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i0 = (wg.y + wg.z * nwg.y) * BM;
  let j0 = wg.x * BN;
  let ti = (lid / 16u) * 4u;
  let tj = (lid % 16u) * 4u;
  var acc: array<vec4f, 4>;
  for (var k0 = 0u; k0 < params.k; k0 += BK) {
    for (var q = lid; q < BM * BK; q += 256u) {
      let r = q / BK;
      let c = q % BK;
      var v = 0.0;
      if (i0 + r < params.m && k0 + c < params.k) { v = x[(i0 + r) * params.k + k0 + c]; }
      xs[c * BM + r] = v;
    }
    for (var q = lid; q < BN * BK; q += 256u) {
      let r = q / BK;
      let c = q % BK;
      var v = 0.0;
      if (j0 + r < params.n && k0 + c < params.k) { v = w[(j0 + r) * params.k + k0 + c]; }
      ws[c * BN + r] = v;
    }
    workgroupBarrier();
    for (var c = 0u; c < BK; c++) {
      let wv = vec4f(ws[c * BN + tj], ws[c * BN + tj + 1u], ws[c * BN + tj + 2u], ws[c * BN + tj + 3u]);
      for (var r = 0u; r < 4u; r++) { acc[r] += xs[c * BM + ti + r] * wv; }
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < 4u; r++) {
    let i = i0 + ti + r;
    for (var c = 0u; c < 4u; c++) {
      let j = j0 + tj + c;
      if (i < params.m && j < params.n) { y[i * params.n + j] = epilogue(acc[r][c], i, j); }
    }
  }
}

// @entry forward_gemv
// Few rows (m = M): LANES threads share a row of w, so that it is read once, in whole vectors, for all rows of x.
const ROWS = WG / LANES;
var<workgroup> partial: array<f32, WG * M>;

@compute @workgroup_size(WG)
fn forward_gemv(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let j0 = flat(wg, nwg) * ROWS;
  let j = j0 + lid / LANES;
  let lane = lid % LANES;
  let k4 = params.k / 4u;
  var acc: array<f32, M>;
  if (j < params.n) {
    for (var q = lane; q < k4; q += LANES) {
      let wv = w[j * k4 + q];
      for (var i = 0u; i < M; i++) { acc[i] += dot(wv, x[i * k4 + q]); }
    }
  }
  for (var i = 0u; i < M; i++) { partial[i * WG + lid] = acc[i]; }
  workgroupBarrier();
  for (var o = lid; o < ROWS * M; o += WG) {
    let i = o / ROWS;
    let r = o % ROWS;
    var sum = 0.0;
    for (var q = 0u; q < LANES; q++) { sum += partial[i * WG + r * LANES + q]; }
    if (j0 + r < params.n) { y[i * params.n + j0 + r] = epilogue(sum, i, j0 + r); }
  }
}
