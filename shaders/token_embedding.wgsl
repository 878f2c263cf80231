// q = step[i mod b] + j;  y[i,j] = q = 0 ? first[i] : word[tokens[i mod b, q-1]] + pos[q-1+shift]; VEC channels to a thread.
// @entry forward
@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  let width = params.d / VEC;
  if (at >= params.m * params.l * width) { return; }
  let ch = at % width;
  let i = at / width / params.l;
  let image = i % params.b;
  let q = step[image] + at / width % params.l;
  if (q == 0u) {
    y[at] = first[i * width + ch];
  } else {
    let before = min(q - 1u, params.t - 1u);
    let token = min(tokens[image * params.t + before], params.v - 1u);
    y[at] = word_at(token * width + ch) + pos[min(before + params.shift, params.p - 1u) * width + ch];
  }
}

// @entry backward_first
// forward: y[i,0] = first[i]  ⇒  dfirst[i] = dy[i,0]
@compute @workgroup_size(WG)
fn backward_first(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  if (at >= params.m * params.d) { return; }
  dfirst[at] = dy[at / params.d * params.l * params.d + at % params.d];
}

// @entry backward_word
// forward: y[i,q] = word[tokens[i,q-1]] + pos[q-1]  ⇒  dword[tokens[i,q-1]] += dy[i,q]
#include "lib/scatter_rows.wgsl"
fn id_at(i: u32) -> u32 { return min(tokens[i / (params.l - 1u) * params.t + i % (params.l - 1u)], params.v - 1u); }
fn row_at(i: u32) -> u32 { return i / (params.l - 1u) * params.l + i % (params.l - 1u) + 1u; }
fn add_at(at: u32, v: f32) { dword[at] += v; }

@compute @workgroup_size(256)
fn backward_word(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  scatter(flat(wg, nwg), params.m * (params.l - 1u), lid);
}

// @entry backward_pos
// forward: y[i,q] = word[tokens[i,q-1]] + pos[q-1]  ⇒  dpos[q-1] += dy[i,q]
@compute @workgroup_size(WG)
fn backward_pos(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lid: u32) {
  let at = flat(wg, nwg) * WG + lid;
  if (at >= (params.l - 1u) * params.d) { return; }
  var all = 0.0;
  for (var i = 0u; i < params.m; i++) { all += dy[(i * params.l + 1u) * params.d + at]; }
  dpos[at] += all;
}
