// @train
// age[v] = -1 for each code v among codes
export function code_age_forward(codes: usize, age: usize, r: i32, v: i32): void {
  for (let i = 0; i < r; i++) {
    const code = load<u32>(codes + (<usize>i << 2));
    if (code < <u32>v) store<f32>(age + (<usize>code << 2), -1);
  }
}
