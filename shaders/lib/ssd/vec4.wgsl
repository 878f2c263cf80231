// n and e divide by 4: xbc and states in whole vectors.
alias V = vec4f;
const WIDTH = 4u;
fn total(v: vec4f) -> f32 { return dot(v, vec4f(1.0)); }
