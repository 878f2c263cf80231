// Returns the guidance of an image: that of its position, or the same for all.
fn guide_scale(image: u32) -> f32 {
  if (params.has_scales == 0u) { return params.scale; }
  var at = 0u;
  if (params.has_step == 1u) { at = min(step_at(image), params.t - 1u); }
  return scales_at(at);
}
