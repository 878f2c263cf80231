/** Threefry, the random numbers of sampling: a function of (seed, counter) alone, so a draw depends on no other draw. */

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24];

/**
 * Threefry-2x32 with 20 rounds: two random words of 32 bits from a key and a counter of two words each.
 * Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Random123); also JAX's generator.
 */
export function threefry2x32(key0: number, key1: number, ctr0: number, ctr1: number): [number, number] {
  const key = [key0, key1, 0x1bd11bda ^ key0 ^ key1];
  let x0 = (ctr0 + key0) | 0;
  let x1 = (ctr1 + key1) | 0;
  for (let round = 0; round < 20; round++) {
    const r = ROTATIONS[round % 8]!;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << r) | (x1 >>> (32 - r))) ^ x0;
    if (round % 4 === 3) {
      const n = (round + 1) / 4;
      x0 = (x0 + key[n % 3]!) | 0;
      x1 = (x1 + key[(n + 1) % 3]! + n) | 0;
    }
  }
  return [x0 >>> 0, x1 >>> 0];
}
