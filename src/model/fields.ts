/** Reads and checks the fields of a configuration. */
import { CheckpointError } from '../core/errors.js';
import { quoted } from '../core/quote.js';

/** The largest size that a configuration may contain. */
const MOST = 1 << 24;

/** An object in a config.json. All readers throw CheckpointError with the file, the field, its value and what is accepted. */
export class Fields {
  private constructor(
    private readonly values: Readonly<Record<string, unknown>>,
    private readonly file: string,
    private readonly path: string,
  ) {}

  /** Wraps a parsed JSON file. Throws CheckpointError if it is not an object. */
  static of(json: unknown, file: string): Fields {
    if (!isObject(json)) throw new CheckpointError(`${file}: expected a JSON object with the model's configuration.`);
    return new Fields(json, file, '');
  }
  /** The value as it is in the file. */
  get(field: string): unknown {
    return this.values[field];
  }

  /** An integer from `least` to `most`, or `fallback` if the field is missing or null. */
  int(field: string, { fallback, least = 1, most = MOST }: { fallback?: number; least?: number; most?: number } = {}): number {
    const value = this.values[field] ?? fallback;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
      return this.fail(field, `an integer from ${least} to ${most}`);
    return value;
  }
  /** A finite number above 0, or `fallback` if the field is missing or null. */
  positive(field: string, fallback: number): number {
    const value = this.values[field] ?? fallback;
    if (typeof value !== 'number' || !(value > 0 && value < Number.POSITIVE_INFINITY))
      return this.fail(field, 'a number above 0');
    return value;
  }
  /** True or false, or `fallback` if the field is missing or null. */
  flag(field: string, fallback: boolean): boolean {
    const value = this.values[field] ?? fallback;
    if (typeof value !== 'boolean') return this.fail(field, 'true or false');
    return value;
  }
  /** One of the names in `choices`, or `fallback` if the field is missing or null. */
  choice<N extends string>(field: string, choices: readonly N[], fallback: N): N {
    const value = this.values[field] ?? fallback;
    if (!choices.includes(value as N)) return this.fail(field, choices.map((name) => JSON.stringify(name)).join(' or '));
    return value as N;
  }
  /** A nested object, or an empty one if the field is missing or null. */
  object(field: string): Fields {
    const value = this.values[field] ?? {};
    if (!isObject(value)) return this.fail(field, 'an object');
    return new Fields(value, this.file, `${this.path}${field}.`);
  }

  /** Throws the error for an invalid value of one field. */
  fail(field: string, expected: string): never {
    throw new CheckpointError(`${this.file}: ${this.path}${field} is ${quoted(this.values[field])}, expected ${expected}.`);
  }

  /** Throws an error about fields that do not match each other. */
  refuse(message: string): never {
    throw new CheckpointError(`${this.file}: ${message}`);
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
