// A kernel that several threads share is called with `part` and `parts`, and computes that part of its results. Each result is
// computed completely by one call, with its sums in a fixed order, so that the bits do not depend on the number of parts.

/** Returns the first item of a part when n items are divided, `step` at a time. The part ends where the next part begins. */
export function begin(n: i32, step: i32, part: i32, parts: i32): i32 {
  const pieces = <i64>((n + step - 1) / step);
  return min(n, <i32>(pieces * part / parts) * step);
}
