/** Points between two classes, and between the random numbers of two seeds. */
import { OptionError } from '../core/errors.js';
import { checkOptions, type OptionTable, shown } from '../core/options.js';
import { threefry2x32 } from '../core/random.js';

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

/** A value as a point that is no way off it, or the point that is given. Throws OptionError, naming the option. */
export function between<T>(option: string, given: T | Between<T>): Between<T> {
  // Whoever uses the value refuses lists, with a better message.
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return { from: given as T, to: given as T, at: 0 };
  const point = checkOptions<Between<T>, typeof BETWEEN>(option, given as Between<T>, BETWEEN);
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
