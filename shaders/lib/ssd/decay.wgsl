// mh is i·h + head.
fn dt_of(mh: u32, t: u32) -> f32 { return steps[mh * 3u * LP + t]; }
fn c_of(mh: u32, t: u32) -> f32 { return steps[(mh * 3u + 1u) * LP + t]; }
fn v_of(mh: u32, t: u32) -> f32 { return steps[(mh * 3u + 2u) * LP + t]; }
fn between_of(mh: u32, i: u32, j: u32) -> f32 { return between[(mh * NB + i / 16u) * NB + j / 16u]; }
fn dt4_of(mh: u32, t: u32) -> vec4f { return vec4f(dt_of(mh, t), dt_of(mh, t + 1u), dt_of(mh, t + 2u), dt_of(mh, t + 3u)); }
fn c4_of(mh: u32, t: u32) -> vec4f { return vec4f(c_of(mh, t), c_of(mh, t + 1u), c_of(mh, t + 2u), c_of(mh, t + 3u)); }
fn v4_of(mh: u32, t: u32) -> vec4f { return vec4f(v_of(mh, t), v_of(mh, t + 1u), v_of(mh, t + 2u), v_of(mh, t + 3u)); }
