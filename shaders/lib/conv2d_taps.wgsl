fn sizes() -> Sizes { return Sizes(params.hi, params.wi, params.ci, params.ho, params.wo, params.co, params.pad); }
fn source4(i: u32) -> vec4f { return x[i]; }
fn tap4(o: u32, t: u32, c: u32) -> vec4f {
  if (o >= params.co) { return vec4f(); }
  return w_at((o * 9u + t) * (params.ci / 4u) + c);
}
