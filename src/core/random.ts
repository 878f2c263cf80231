/**
 * Random numbers. All come from Threefry, a function of (seed, counter) alone, so no draw depends on another one. An image
 * depends only on its seed, and a resumed training run draws the same numbers as one that was never stopped, on every backend.
 */
import { OptionError } from './errors.js';

/**
 * Threefry-2x32 with 20 rounds: two random words of 32 bits from a key and a counter of two words each.
 * Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Random123); also JAX's generator.
 */
export function threefry2x32(key0: number, key1: number, ctr0: number, ctr1: number): [number, number] {
  threefryFill(key0, key1, ctr0, ctr1, pair);
  return [pair[0]!, pair[1]!];
}
const pair = new Uint32Array(2);

/** Writes the words of consecutive counters to `out`: of ctr0, ctr0 + 1, … beside the same ctr1. */
export function threefryFill(key0: number, key1: number, ctr0: number, ctr1: number, out: Uint32Array): void {
  for (let i = 0; i < out.length; i += 2) {
    let k0 = key0 | 0;
    let k1 = key1 | 0;
    let k2 = 0x1bd11bda ^ key0 ^ key1;
    let x0 = (ctr0 + i / 2 + k0) | 0;
    let x1 = (ctr1 + k1) | 0;
    // Groups of four rounds, each with a new order of the key's words. Written out, as a loop over rotations takes five times as long.
    for (let n = 1; ; n++) {
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 13) | (x1 >>> 19)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 15) | (x1 >>> 17)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 26) | (x1 >>> 6)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 6) | (x1 >>> 26)) ^ x0;
      x0 = (x0 + k1) | 0;
      x1 = (x1 + k2 + n) | 0;
      if (n === 5) break;
      n++;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 17) | (x1 >>> 15)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 29) | (x1 >>> 3)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 16) | (x1 >>> 16)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 24) | (x1 >>> 8)) ^ x0;
      x0 = (x0 + k2) | 0;
      x1 = (x1 + k0 + n) | 0;
      const last = k2;
      k2 = k1;
      k1 = k0;
      k0 = last;
    }
    out[i] = x0;
    out[i + 1] = x1;
  }
}

/**
 * The uses of random numbers in training. Different streams never use the same counter. A seed has 53 bits, so bits 56 to 63 of
 * the key are free for the stream.
 */
const STREAMS = { order: 1, dropout: 2, image: 3, codes: 4 };
/** One of the independent sequences of random numbers of a training run. */
export type Stream = keyof typeof STREAMS;

/** Two random 32-bit words at position (a, b) of a stream. */
export function randomWords(seed: number, stream: Stream, a: number, b: number): [number, number] {
  return threefry2x32(...streamKey(seed, stream), a, b);
}

/** The key of a stream for Threefry, as two words. */
export const streamKey = (seed: number, stream: Stream): [number, number] => [
  seed >>> 0,
  (Math.floor(seed / 2 ** 32) ^ (STREAMS[stream] << 24)) >>> 0,
];

/** A uniform random number in [0, 1) with 53 bits, at position (a, b) of a stream. */
export function uniform(seed: number, stream: Stream, a: number, b: number): number {
  const [x, y] = randomWords(seed, stream, a, b);
  return ((x >>> 5) * 2 ** 26 + (y >>> 6)) / 2 ** 53;
}

/** Up to 256 random numbers in [0, 1) for cropping an image: that at position `slot` (below 2^24) of the batch of step `step`. */
export function imageRandom(seed: number, step: number, slot: number): () => number {
  let n = 0;
  return () => uniform(seed, 'image', step, n++ * 2 ** 24 + slot);
}

/** Throws OptionError unless `seed` is a whole number from 0 to 2^53 − 1. */
export function checkSeed(seed: number): void {
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new OptionError(`seed is ${seed}; it must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}.`);
}
