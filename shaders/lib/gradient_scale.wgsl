// The gradient of a mean over the rows is about 1/rows, which is small for f16 and may be lost. It is multiplied by the largest
// power of two that is at most the number of rows before it is rounded, and the sum is divided by the same power. Both are exact.
// A gradient that is stored as f16 (STORED is 1) is left as it is, since the scale of the loss has made it large enough.
fn gradient_scale() -> f32 { return select(f32(1u << firstLeadingBit(params.m)), 1.0, STORED == 1u); }
fn scaled(dy: vec4f) -> vec4f { return dy * gradient_scale(); }
fn unscaled(sum: vec4f) -> vec4f { return sum / gradient_scale(); }
