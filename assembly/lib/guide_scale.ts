// Returns the guidance of image i: that of its position, or the same for all.
export function guideScale(i: i32, scales: usize, step: usize, t: i32, scale: f32): f32 {
  if (!scales) return scale;
  const at = step ? min<u32>(load<u32>(step + (<usize>i << 2)), <u32>t - 1) : 0;
  return load<f32>(scales + (<usize>at << 2));
}
