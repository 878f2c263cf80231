/**
 * Random numbers. All come from Threefry, a function of (seed, counter) alone, so no draw depends on another one. An image
 * depends only on its seed, and a resumed training run draws the same numbers as one that was never stopped, on every backend.
 */
import { OptionError } from './errors.js';

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
