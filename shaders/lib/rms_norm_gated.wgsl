// A workgroup processes one of the w parts of the rows, for one group of channels. Each thread holds PER vectors of WIDTH
// channels in registers, and their sums over the rows.
#include "workgroup_sum2.wgsl"
fn gradient(tile: u32, lid: u32) {
  let width = params.e / params.groups / WIDTH;
  let part = tile / params.groups;
  let ch0 = tile % params.groups * width;
  let rows = params.m * params.l;
  let span = (rows + params.w - 1u) / params.w;
  let row1 = select(0u, min((part + 1u) * span, rows), part < params.w);
  var sums: array<V, PER>;
  for (var lap = 0u; lap < MOST; lap++) { let row = (part * span) + lap; if (!(row < row1)) { break; }
    let at = row * (params.e / WIDTH) + ch0;
    let z0 = (row * params.s + params.z_offset) / WIDTH + ch0;
    var v = array<V, PER>();
    var dn = array<V, PER>();
    var both = vec2f();
    for (var q = 0u; q < PER; q++) {
      let ch = q * WG + lid;
      if (ch < width) {
        let zi = z_at(z0 + ch);
        v[q] = x_at(at + ch) * (zi / (1.0 + exp(-zi)));
        dn[q] = dy_at(at + ch) * weight_at(ch0 + ch);
        both += vec2f(total(v[q] * v[q]), total(v[q] * dn[q]));
      }
    }
    both = workgroup_sum2(both, lid) / f32(params.e / params.groups);
    let r = 1.0 / sqrt(both.x + params.eps);
    for (var q = 0u; q < PER; q++) {
      let ch = q * WG + lid;
      if (ch < width) {
        // forward: y = v·r·weight, r = (Σ v²/width + eps)^-½  ⇒  dv = dy·weight·r - v·r³·Σ(dy·weight·v)/width
        let n = v[q] * r;
        let dv = r * (dn[q] - n * (r * both.y));
        // forward: v = x·SiLU(z)  ⇒  dx = dv·SiLU(z), dz = dv·x·SiLU'(z)
        let zi = z_at(z0 + ch);
        let s = 1.0 / (1.0 + exp(-zi));
        dx_put(at + ch, dv * (zi * s));
        dz_put(z0 + ch, dv * x_at(at + ch) * (s * (1.0 + zi * (1.0 - s))));
        // forward: y = v·r·weight  ⇒  dweight += Σ dy·v·r
        sums[q] += dy_at(at + ch) * n;
      }
    }
  }
  for (var q = 0u; q < PER; q++) {
    let ch = q * WG + lid;
    if (part < params.w && ch < width) { dweight_rows_put(part * (params.e / WIDTH) + ch0 + ch, sums[q]); }
  }
}
