// log(1 + e^x) = max(x, 0) + log1p(u) with u = e^-|x|. A polynomial evaluates log1p(u) = 2 atanh(u / (2 + u)), since WGSL's log
// has an absolute error of up to 2^-21, which would be a large relative error for small u.
fn softplus(x: f32) -> f32 {
  let u = exp(-abs(x));
  let r = u / (2.0 + u);
  let q = r * r;
  return max(x, 0.0) + r * (2.0 + q * (0.66666322 + q * (0.40024595 + q * (0.27965158 + q * 0.28157778))));
}
