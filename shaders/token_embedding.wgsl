// q = step[i mod b] + j;  y[i,j] = q = 0 ? first[i] : word[tokens[i mod b, q-1]] + pos[q-1+shift]. One thread takes VEC channels.
// @entry forward, WG threads
// @in tokens: u32 [b, t]
// @in step: u32 [b]
// @in first: f32 [m, d]
// @in word: f32 | f16 [v, d]
// @in pos: f32 [p, d]
// @out y: f32 [m, l, d]
fn forward(wg: vec3u, nwg: vec3u, lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  let width = params.d / VEC;
  if (at >= params.m * params.l * width) { return; }
  let ch = at % width;
  let i = at / width / params.l;
  let image = i % params.b;
  let q = step_at(image) + at / width % params.l;
  if (q == 0u) {
    y_put(at, first_at(i * width + ch));
  } else {
    let before = min(q - 1u, params.t - 1u);
    let token = min(tokens_at(image * params.t + before), params.v - 1u);
    y_put(at, word_at(token * width + ch) + pos_at(min(before + params.shift, params.p - 1u) * width + ch));
  }
}

// @entry backward_first, WG threads
// @in dy: f32 [m, l, d]
// @out dfirst: f32 [m, d]
// forward: y[i,0] = first[i]  ⇒  dfirst[i] = dy[i,0]
fn backward_first(wg: vec3u, nwg: vec3u, lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  if (at >= params.m * params.d) { return; }
  dfirst_put(at, dy_at(at / params.d * params.l * params.d + at % params.d));
}

// @entry backward_word, 256 threads
// @in tokens: u32 [m, t]
// @in dy: f32 [m, l, d]
// @inout dword: f32 [v, d]
// forward: y[i,q] = word[tokens[i,q-1]] + pos[q-1]  ⇒  dword[tokens[i,q-1]] += dy[i,q]
#include "lib/scatter_rows.wgsl"
fn id_at(i: u32) -> u32 { return min(tokens_at(i / (params.l - 1u) * params.t + i % (params.l - 1u)), params.v - 1u); }
fn row_at(i: u32) -> u32 { return i / (params.l - 1u) * params.l + i % (params.l - 1u) + 1u; }
fn add_at(at: u32, v: f32) { dword_add(at, v); }

fn backward_word(wg: vec3u, nwg: vec3u, lid: u32) {
  scatter(flat(wg, nwg), params.m * (params.l - 1u), lid);
}

// @entry backward_pos, WG threads
// @in dy: f32 [m, l, d]
// @inout dpos: f32 [p, d]
// forward: y[i,q] = word[tokens[i,q-1]] + pos[q-1]  ⇒  dpos[q-1] += dy[i,q]
fn backward_pos(wg: vec3u, nwg: vec3u, lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  if (at >= (params.l - 1u) * params.d) { return; }
  var all = 0.0;
  for (var i = 0u; i < MOST; i++) { if (!(i < params.m)) { break; } all += dy_at((i * params.l + 1u) * params.d + at); }
  dpos_add(at, all);
}
