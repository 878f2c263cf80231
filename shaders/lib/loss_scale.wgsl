// Returns a factor of the loss, multiplied by the loss scale if there is one.
fn scale_of(factor: f32) -> f32 {
  if (params.has_loss_scale == 0u) { return factor; }
  return factor * loss_scale_at(0);
}
