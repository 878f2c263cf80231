// Any n: xbc and states one element at a time.
alias V = f32;
const WIDTH = 1u;
fn total(v: f32) -> f32 { return v; }
