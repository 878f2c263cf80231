fn dt_at(row: u32, head: u32) -> f32 { return softplus(zxbcdt_at((row + 1u) * params.s - params.h + head) + dt_bias_at(head)); }
// B and C of the first group, in units of V.
fn B_at(row: u32) -> u32 { return (row * params.c + params.e) / WIDTH; }
fn C_at(row: u32) -> u32 { return B_at(row) + params.ngroups * params.d_state / WIDTH; }
