// The way back: windows of dy, the taps in the other order, every weight from its output to its input channel.
fn sizes() -> Sizes { return Sizes(params.ho, params.wo, params.co, params.hi, params.wi, params.ci, 2u - params.pad); }
// Before it is ROUNDED to f16, which holds the gradient of a mean over the pixels badly, dy is taken times a power of two near
// their number; the sum is divided by it, both exactly.
fn gradient_scale() -> f32 { return select(1.0, f32(1u << firstLeadingBit(params.b * params.ho * params.wo)), ROUNDED == 1u); }
fn source4(i: u32) -> vec4f { return dy[i] * gradient_scale(); }
fn tap4(c: u32, t: u32, o: u32) -> vec4f {
  if (c >= params.ci) { return vec4f(); }
  let at = (o * 36u + 8u - t) * params.ci + c;
  let step = 9u * params.ci;
  return vec4f(w_at(at), w_at(at + step), w_at(at + 2u * step), w_at(at + 3u * step));
}
