// sum + Σ a·b in the order of the elements, for one and for four vectors b.
fn mac4(sum: f32, a: vec4f, b: vec4f) -> f32 { return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum)))); }

fn mac16(sum: vec4f, a: vec4f, b0: vec4f, b1: vec4f, b2: vec4f, b3: vec4f) -> vec4f {
  return vec4f(mac4(sum.x, a, b0), mac4(sum.y, a, b1), mac4(sum.z, a, b2), mac4(sum.w, a, b3));
}
