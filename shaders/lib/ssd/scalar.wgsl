// Any n: xbc and states one element at a time.
alias V = f32;
const WIDTH = 1u;
fn x_at(i: u32) -> f32 { return xbc[i]; }
fn total(v: f32) -> f32 { return v; }
