// codes[r] = argminᵥ ‖ẑ[r] - ê[v]‖², the lowest v of equals, where ^ divides a row by its length.
fn unit_scale(square: f32) -> f32 { return 1.0 / max(sqrt(square), 1e-12); }

// @entry forward
// A workgroup takes ROWS rows of z; its threads share out the codes.
var<workgroup> rows: array<f32, ROWS * D>;
var<workgroup> least: array<f32, 256>;
var<workgroup> which: array<u32, 256>;

@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let r0 = flat(wg, nwg) * ROWS;
  if (lid < ROWS && r0 + lid < params.r) {
    var square = 0.0;
    for (var j = 0u; j < D; j++) {
      let x = z[(r0 + lid) * D + j];
      square += x * x;
    }
    let scale = unit_scale(square);
    for (var j = 0u; j < D; j++) { rows[lid * D + j] = z[(r0 + lid) * D + j] * scale; }
  }
  workgroupBarrier();
  var best: array<f32, ROWS>;
  var code: array<u32, ROWS>;
  for (var n = 0u; n < ROWS; n++) { best[n] = 3e38; }
  for (var v = lid; v < params.v; v += 256u) {
    var e: array<f32, D>;
    var square = 0.0;
    for (var j = 0u; j < D; j++) {
      e[j] = codebook[v * D + j];
      square += e[j] * e[j];
    }
    let scale = unit_scale(square);
    for (var j = 0u; j < D; j++) { e[j] *= scale; }
    for (var n = 0u; n < ROWS; n++) {
      var sum = 0.0;
      for (var j = 0u; j < D; j++) {
        let x = rows[n * D + j] - e[j];
        sum += x * x;
      }
      if (sum < best[n]) {
        best[n] = sum;
        code[n] = v;
      }
    }
  }
  for (var n = 0u; n < ROWS; n++) {
    least[lid] = best[n];
    which[lid] = code[n];
    for (var half = 128u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (lid < half) {
        let other = lid + half;
        if (least[other] < least[lid] || (least[other] == least[lid] && which[other] < which[lid])) {
          least[lid] = least[other];
          which[lid] = which[other];
        }
      }
    }
    workgroupBarrier();
    if (lid == 0u && r0 + n < params.r) {
      codes[r0 + n] = which[0];
      if (params.has_distance == 1u) { distance[r0 + n] = least[0]; }
    }
    workgroupBarrier();
  }
}
