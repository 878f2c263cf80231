// Threefry-2x32 with 20 rounds (Salmon et al. 2011) makes two random words from a key and a counter, like threefry2x32 of
// src/core/random.ts. The first word is the upper half of the result.
export function threefry2x32(key0: u32, key1: u32, ctr0: u32, ctr1: u32): u64 {
  const key2: u32 = 0x1bd11bda ^ key0 ^ key1;
  let x0 = ctr0 + key0, x1 = ctr1 + key1;
  for (let n: u32 = 1; n <= 5; n++) {
    const odd = n & 1;
    x0 += x1; x1 = rotl<u32>(x1, odd ? 13 : 17) ^ x0;
    x0 += x1; x1 = rotl<u32>(x1, odd ? 15 : 29) ^ x0;
    x0 += x1; x1 = rotl<u32>(x1, odd ? 26 : 16) ^ x0;
    x0 += x1; x1 = rotl<u32>(x1, odd ? 6 : 24) ^ x0;
    const a = n % 3;
    x0 += a == 0 ? key0 : a == 1 ? key1 : key2;
    x1 += (a == 0 ? key1 : a == 1 ? key2 : key0) + n;
  }
  return (<u64>x0 << 32) | x1;
}
