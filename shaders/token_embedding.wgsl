// q = step[i mod b] + j;  y[i,j] = q = 0 ? cls[labels[i]] : word[tokens[i mod b, q-1]] + pos[q-1+shift]; VEC channels to a thread.
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
    y[at] = cls[min(labels[i], params.c - 1u) * width + ch];
  } else {
    let before = min(q - 1u, params.t - 1u);
    let token = min(tokens[image * params.t + before], params.v - 1u);
    y[at] = word[token * width + ch] + pos[min(before + params.shift, params.p - 1u) * width + ch];
  }
}
