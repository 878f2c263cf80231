// The way back: windows of dy, the taps in the other order, every weight from its output to its input channel.
fn sizes() -> Sizes { return Sizes(params.ho, params.wo, params.co, params.hi, params.wi, params.ci, 2u - params.pad); }
fn source4(i: u32) -> vec4f { return dy[i]; }
fn tap4(c: u32, t: u32, o: u32) -> vec4f {
  if (c >= params.ci) { return vec4f(); }
  let at = (o * 36u + 8u - t) * params.ci + c;
  let step = 9u * params.ci;
  return vec4f(w_at(at), w_at(at + step), w_at(at + 2u * step), w_at(at + 3u * step));
}
