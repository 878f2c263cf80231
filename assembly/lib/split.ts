// A kernel that threads share is called with `part` and `parts`, and makes that part of its results. A result is always made
// whole by one call, in the same order of sums, so that no bit depends on the number of parts.

/** Where a part begins when n things are shared out, `step` of them at a time; it ends where the next part begins. */
export function begin(n: i32, step: i32, part: i32, parts: i32): i32 {
  const pieces = <i64>((n + step - 1) / step);
  return min(n, <i32>(pieces * part / parts) * step);
}
