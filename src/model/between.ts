/** Points between two classes, and between the random numbers of two seeds. A chunk of its own, because few drawings have them. */
import type { Backend } from '../backend/backend.js';
import { OptionError } from '../core/errors.js';
import { checkOptions, type OptionTable, shown } from '../core/options.js';
import { threefry2x32 } from '../core/random.js';
import type { Tensor } from '../core/tensor.js';
import { mix } from '../ops/mix.js';

/** A point between two things: `from` where `at` is 0, `to` where it is 1. */
export interface Between<T> {
  from: T;
  to: T;
  /** In [0, 1]. */
  at: number;
}

/**
 * A point between two classes, given by number or name. Their embeddings are interpolated linearly; the embedding is the first row
 * of the sequence, and every adaLN vector is computed from it.
 */
export type ClassMix = Between<number | string>;

/**
 * A point between the random numbers of two seeds. The number that decides a token is a point on a circle; it moves along the
 * shorter arc from where the first seed has it to where the second has it. Start and arc are independent, so the point is uniform
 * wherever it stops: every image on the way is drawn from the same distribution as any other.
 */
export type SeedMix = Between<number>;

const BETWEEN = {
  from: { type: 'other', about: 'where at is 0' },
  to: { type: 'other', about: 'where at is 1' },
  at: { type: 'number', min: 0, max: 1, about: 'how far it is from `from` to `to`' },
} as const satisfies OptionTable<Between<unknown>>;

/** The point that is given, checked. Throws OptionError, naming the option. */
export function between<T>(option: string, given: Between<T>): Between<T> {
  const point = checkOptions<Between<T>, typeof BETWEEN>(option, given, BETWEEN);
  if (point.from === undefined || point.to === undefined || point.at === undefined)
    throw new OptionError(`${option}: ${shown(given)} is no point between two; give from, to and at.`);
  return point as Between<T>;
}

/** The random words of the first `count` positions of an image, as the op `sample` takes them. */
export function noiseBetween({ from, to, at }: SeedMix, count: number): Uint32Array {
  const word = (seed: number, position: number) => threefry2x32(seed >>> 0, Math.floor(seed / 2 ** 32), position, 0)[0];
  return Uint32Array.from({ length: count }, (_, t) => {
    const start = word(from, t);
    // The shorter arc, in [-2³¹, 2³¹). The sum wraps around.
    const arc = (word(to, t) - start) | 0;
    return start + Math.round(at * arc);
  });
}

/** y [m, d]: the linear interpolation of the embeddings x and z [m, d], with the share [m] of z. */
export function mixForward(be: Backend, t: { x: Tensor; z: Tensor; share: Tensor; y: Tensor }): void {
  be.run(mix.forward, t);
}
