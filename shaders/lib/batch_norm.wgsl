// 1/√(var + eps) of a column, from the unbiased variance.
fn rstd_of(j: u32) -> f32 {
  return inverseSqrt(variance_at(j) * f32(params.m - 1u) / f32(params.m) + params.eps);
}
