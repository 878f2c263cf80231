/**
 * Options that users give, described once in a table beside their interface. The table checks a given object, fills in defaults
 * and gives the command line its flags and help text.
 */
import { OptionError } from './errors.js';

interface Described {
  /** What the option does, as a phrase without a full stop: for error messages and help texts. */
  readonly about: string;
}

interface NumberSpec extends Described {
  readonly type: 'integer' | 'number';
  readonly default?: number;
  readonly min?: number;
  readonly max?: number;
  /** `min` itself is refused. */
  readonly exclusiveMin?: boolean;
  /** `max` itself is refused. */
  readonly exclusiveMax?: boolean;
}

interface ChoiceSpec extends Described {
  readonly type: 'choice';
  readonly choices: readonly string[];
  readonly default?: string;
}

interface SimpleSpec extends Described {
  /**
   * `strings`: a list of strings. `signal`: an AbortSignal. `other`: a value whose check needs more than the value itself, such as
   * a device or class names; the code that uses it checks it.
   */
  readonly type: 'string' | 'boolean' | 'function' | 'strings' | 'url' | 'signal' | 'other';
  readonly default?: unknown;
}

export type OptionSpec = NumberSpec | ChoiceSpec | SimpleSpec;

/** One entry for each option of the interface `O`. */
export type OptionTable<O extends object = Record<string, unknown>> = { readonly [K in keyof Required<O>]: OptionSpec };

/** The options `O` after defaults of the table `T` are filled in. */
export type Filled<O extends object, T> = {
  [K in keyof O as K extends keyof T ? (T[K] extends { default: unknown } ? K : never) : never]-?: Exclude<O[K], undefined>;
} & { [K in keyof O as K extends keyof T ? (T[K] extends { default: unknown } ? never : K) : never]: O[K] };

/**
 * Checks `given` against `table` and returns it with defaults filled in. An option that is undefined counts as not given.
 * Throws OptionError for a value of the wrong type or out of range, and for an unknown name with the nearest known one.
 *
 * @param name of the call the options belong to, for messages: `generate`.
 */
export function checkOptions<O extends object, const T extends OptionTable<O>>(
  name: string,
  given: O | undefined,
  table: T,
): Filled<O, T> {
  if (given === null || (given !== undefined && typeof given !== 'object') || Array.isArray(given))
    throw new OptionError(`${name}: the options are ${shown(given)}; pass an object, or nothing.`);
  const options: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(given ?? {})) {
    if (!Object.hasOwn(table, key)) throw unknownOption(name, key, Object.keys(table));
    // Negative zero is zero.
    if (value !== undefined) options[key] = checkOption(key, value, table[key as keyof T] as OptionSpec) === 0 ? 0 : value;
  }
  for (const [key, spec] of Object.entries<OptionSpec>(table)) {
    if (options[key] === undefined && spec.default !== undefined) options[key] = spec.default;
  }
  return options as Filled<O, T>;
}

/** Checks one value and returns it. Throws OptionError naming the option, the value and what is accepted. */
export function checkOption<V>(name: string, value: V, spec: OptionSpec): V {
  if (!accepts(spec, value)) throw new OptionError(`${name} is ${shown(value)}; it must be ${accepted(spec)} (${spec.about}).`);
  return value;
}

function accepts(spec: OptionSpec, value: unknown): boolean {
  switch (spec.type) {
    case 'integer':
    case 'number': {
      if (typeof value !== 'number' || !Number.isFinite(value)) return false;
      if (spec.type === 'integer' && !Number.isSafeInteger(value)) return false;
      const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = spec;
      return (spec.exclusiveMin ? value > min : value >= min) && (spec.exclusiveMax ? value < max : value <= max);
    }
    case 'choice':
      return spec.choices.includes(value as string);
    case 'strings':
      return Array.isArray(value) && value.every((item) => typeof item === 'string');
    case 'url':
      return typeof value === 'string' || value instanceof URL;
    case 'signal':
      // Not instanceof: the signal may come from another realm.
      return typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value;
    case 'other':
      return value !== null;
    default:
      return typeof value === spec.type;
  }
}

/** The accepted values in words: `an integer from 0 to 63`, `one of a, b`. */
export function accepted(spec: OptionSpec): string {
  switch (spec.type) {
    case 'integer':
    case 'number': {
      const { min, max, exclusiveMin, exclusiveMax } = spec;
      const kind = spec.type === 'integer' ? 'an integer' : 'a finite number';
      if (min !== undefined && max !== undefined && !exclusiveMin && !exclusiveMax) return `${kind} from ${min} to ${max}`;
      const least = min === undefined ? [] : [exclusiveMin ? `above ${min}` : `of at least ${min}`];
      const most = max === undefined ? [] : [exclusiveMax ? `below ${max}` : `at most ${max}`];
      return [kind, [...least, ...most].join(' and ')].filter(Boolean).join(' ');
    }
    case 'choice':
      return spec.choices
        .map((choice) => `'${choice}'`)
        .join(', ')
        .replace(/, ([^,]*)$/, ' or $1');
    case 'strings':
      return 'a list of strings';
    case 'url':
      return 'a URL or its text';
    case 'signal':
      return 'an AbortSignal';
    case 'boolean':
      return 'true or false';
    case 'other':
      return 'left out or have a value';
    default:
      return `a ${spec.type}`;
  }
}

function unknownOption(name: string, key: string, known: readonly string[]): OptionError {
  const near = nearest(key, known);
  const hint = near ? `did you mean ${near}?` : `it takes ${known.join(', ')}.`;
  return new OptionError(`${name}: there is no option ${JSON.stringify(key)}; ${hint}`);
}

/** The known name that `word` is probably a misspelling of; undefined when none is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(word.length / 3));
  let best: { name: string; distance: number } | undefined;
  for (const name of known) {
    const distance = editDistance(word.toLowerCase(), name.toLowerCase());
    if (distance <= limit && !(best && best.distance <= distance)) best = { name, distance };
  }
  return best?.name;
}

/** Levenshtein distance: insertions, deletions and substitutions that make b of a. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

/** A value as messages show it: NaN and Infinity by name, long ones cut. */
export function shown(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'number' || typeof value === 'bigint' || value === undefined) return String(value);
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    text = String(value);
  }
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
