// forward: y = v·σ(v)  ⇒  dv = dy·σ(v)·(1 + v·(1 - σ(v)))
fn dv(at: u32, v: vec4f) -> vec4f {
  let d = vec4f(dy_at(at));
  if (params.swish == 0u) { return d; }
  let s = 1.0 / (1.0 + exp(-v));
  return d * s * (1.0 + v * (1.0 - s));
}
