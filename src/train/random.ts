/**
 * The random numbers of training, each a function of the seed and its place alone (Threefry), so that a resumed run draws what
 * the stopped one would have drawn, on every backend.
 */
import { OptionError } from '../errors.js';
import { threefry2x32 } from '../sampling.js';

/** What the numbers are for. They share no counter with each other; a seed has 53 bits, so key bits 56 to 63 are free for it. */
const STREAMS = { order: 1, dropout: 2, image: 3 };
export type Stream = keyof typeof STREAMS;

/** Two random words at the place (a, b) of a stream. */
export function randomWords(seed: number, stream: Stream, a: number, b: number): [number, number] {
  return threefry2x32(seed >>> 0, Math.floor(seed / 2 ** 32) ^ (STREAMS[stream] << 24), a, b);
}

/** A uniform number in [0, 1) of 53 bits. */
export function uniform(seed: number, stream: Stream, a: number, b: number): number {
  const [x, y] = randomWords(seed, stream, a, b);
  return ((x >>> 5) * 2 ** 26 + (y >>> 6)) / 2 ** 53;
}

/** Numbers for cutting the image at place `slot` (below 2^24) of step `step`: up to 256 of them. */
export function imageRandom(seed: number, step: number, slot: number): () => number {
  let n = 0;
  return () => uniform(seed, 'image', step, n++ * 2 ** 24 + slot);
}

export function checkSeed(seed: number): void {
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new OptionError(`seed is ${seed}; it must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}.`);
}
