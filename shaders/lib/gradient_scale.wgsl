// The gradient of a mean over the rows is about 1/rows, which f16 holds badly or not at all: it is rounded times the largest
// power of two that is at most the rows, and the sum divided by it, both exactly.
fn gradient_scale() -> f32 { return f32(1u << firstLeadingBit(params.m)); }
fn scaled(dy: vec4f) -> vec4f { return dy * gradient_scale(); }
fn unscaled(sum: f32) -> f32 { return sum / gradient_scale(); }
