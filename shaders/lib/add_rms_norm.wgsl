// A workgroup processes one of the w parts of a sequence. Each thread holds in registers the sums over its positions for PER
// vectors of WIDTH channels.
#include "workgroup_sum2.wgsl"
fn gradient(part: u32, lid: u32) {
  let width = params.d / WIDTH;
  let i = part / params.w;
  let span = (params.l + params.w - 1u) / params.w;
  let j0 = part % params.w * span;
  let j1 = select(0u, min(j0 + span, params.l), i < params.m);
  let scale = (i * params.c + 1u) * width;
  var gain: array<V, PER>;
  var sum_dy: array<V, PER>;
  var sum_dyn: array<V, PER>;
  for (var q = 0u; q < PER; q++) {
    let ch = q * WG + lid;
    if (i < params.m && ch < width) {
      gain[q] = weight_at(ch);
      if (params.has_modulation == 1u) { gain[q] *= 1.0 + modulation_at(scale + ch); }
    }
  }
  for (var lap = 0u; lap < MOST; lap++) { let j = j0 + lap; if (!(j < j1)) { break; }
    let at = (i * params.l + j) * width;
    var s = array<V, PER>();
    var g = array<V, PER>();
    var both = vec2f();
    for (var q = 0u; q < PER; q++) {
      let ch = q * WG + lid;
      if (ch < width) {
        s[q] = sum_at(at + ch);
        g[q] = dy_at(at + ch);
        // forward: n = sum·r, y = n·weight·(1 + scale) + shift  ⇒  dn = dy·weight·(1 + scale)
        both += vec2f(total(s[q] * s[q]), total(g[q] * gain[q] * s[q]));
      }
    }
    both = workgroup_sum2(both, lid) / f32(params.d);
    let r = 1.0 / sqrt(both.x + params.eps);
    for (var q = 0u; q < PER; q++) {
      let ch = q * WG + lid;
      if (ch < width) {
        // forward: r = (Σ sum²/d + eps)^-½  ⇒  dsum += dn·r - sum·r³·Σ(dn·sum)/d
        let n = s[q] * r;
        var ds = r * (g[q] * gain[q] - n * (r * both.y));
        if (params.has_dsum == 1u) { ds += dsum_at(at + ch); }
        dres_put(at + ch, ds);
        sum_dy[q] += g[q];
        sum_dyn[q] += g[q] * n;
      }
    }
  }
  for (var q = 0u; q < PER; q++) {
    let ch = q * WG + lid;
    if (i < params.m && ch < width) {
      rows_put(part * 2u * width + ch, sum_dy[q]);
      rows_put((part * 2u + 1u) * width + ch, sum_dyn[q]);
    }
  }
}
