// Threefry-2x32 with 20 rounds (Salmon et al. 2011) makes two random words from a key and a counter, like threefry2x32 of
// src/core/random.ts.
fn threefry2x32(key: vec2u, counter: vec2u) -> vec2u {
  let rotations = array(vec4u(13u, 15u, 26u, 6u), vec4u(17u, 29u, 16u, 24u));
  let keys = array(key.x, key.y, 0x1bd11bdau ^ key.x ^ key.y);
  var x = counter + key;
  for (var lap = 0u; lap < MOST; lap++) { let n = 1u + lap; if (!(n <= 5u)) { break; }
    let turn = rotations[(n - 1u) % 2u];
    for (var q = 0u; q < 4u; q++) {
      x.x += x.y;
      x.y = ((x.y << turn[q]) | (x.y >> (32u - turn[q]))) ^ x.x;
    }
    x += vec2u(keys[n % 3u], keys[(n + 1u) % 3u] + n);
  }
  return x;
}
