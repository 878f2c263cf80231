/**
 * Options that users pass, each described in a table next to its interface. The table is used to check values, to fill in
 * defaults, and to derive the flags and help texts of the command line.
 */
import { OptionError } from './errors.js';

interface Described {
  /** The effect of the option, as a phrase without a full stop. Used in error messages and help texts. */
  readonly about: string;
}

interface NumberSpec extends Described {
  readonly type: 'integer' | 'number';
  readonly default?: number;
  readonly min?: number;
  readonly max?: number;
  /** True if `min` itself is not allowed. */
  readonly exclusiveMin?: boolean;
  /** True if `max` itself is not allowed. */
  readonly exclusiveMax?: boolean;
}

interface ChoiceSpec extends Described {
  readonly type: 'choice';
  readonly choices: readonly string[];
  readonly default?: string;
}

interface SimpleSpec extends Described {
  /**
   * `strings`: a list of strings. `signal`: an AbortSignal. `other`: a value that needs a check of its own, such as a device or
   * class names; the code that uses it performs that check.
   */
  readonly type: 'string' | 'boolean' | 'function' | 'strings' | 'url' | 'signal' | 'other';
  readonly default?: unknown;
}

export type OptionSpec = NumberSpec | ChoiceSpec | SimpleSpec;

/** One entry for each option of the interface `O`. */
export type OptionTable<O extends object = Record<string, unknown>> = { readonly [K in keyof Required<O>]: OptionSpec };

/** The options `O` with the defaults of the table `T` filled in. */
export type Filled<O extends object, T> = {
  [K in keyof O as K extends keyof T ? (T[K] extends { default: unknown } ? K : never) : never]-?: Exclude<O[K], undefined>;
} & { [K in keyof O as K extends keyof T ? (T[K] extends { default: unknown } ? never : K) : never]: O[K] };

/**
 * Checks `given` against `table` and returns it with defaults filled in. An undefined option counts as omitted.
 * Throws OptionError for a value of the wrong type or out of range, and for an unknown name, with the closest known one.
 *
 * @param name The call that the options belong to, for messages: `generate`.
 * @param defaults Checked values that are taken instead of the defaults of the table.
 */
export function checkOptions<O extends object, const T extends OptionTable<O>>(
  name: string,
  given: O | undefined,
  table: T,
  defaults: { readonly [K in keyof O]?: O[K] } = {},
): Filled<O, T> {
  if (given === null || (given !== undefined && typeof given !== 'object') || Array.isArray(given))
    throw new OptionError(`${name}: the options are ${shown(given)}; pass an object, or nothing.`);
  const options: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(given ?? {})) {
    if (!Object.hasOwn(table, key)) throw unknownOption(name, key, Object.keys(table));
    if (value !== undefined) options[key] = checkOption(key, value, table[key as keyof T] as OptionSpec);
  }
  for (const [key, spec] of Object.entries<OptionSpec>(table)) {
    const value = options[key] ?? defaults[key as keyof O] ?? spec.default;
    // Normalise negative zero.
    if (value !== undefined) options[key] = value === 0 ? 0 : value;
  }
  return options as Filled<O, T>;
}

/** The defaults of a table. */
export function defaultsOf<const T extends Record<string, OptionSpec>>(
  table: T,
): { readonly [K in keyof T as T[K] extends { default: unknown } ? K : never]: T[K] extends { default: infer D } ? D : never } {
  const given = Object.entries(table).filter(([, spec]) => spec.default !== undefined);
  return Object.fromEntries(given.map(([name, spec]) => [name, spec.default])) as never;
}

/** Checks one value and returns it. Throws OptionError with the option, the value and the accepted values. */
export function checkOption<V>(name: string, value: V, spec: OptionSpec): V {
  if (!accepts(spec, value)) throw new OptionError(`${name} is ${shown(value)}; it must be ${accepted(spec)} (${spec.about}).`);
  return value;
}

/** Whether an option takes a value. */
export function accepts(spec: OptionSpec, value: unknown): boolean {
  switch (spec.type) {
    case 'integer':
    case 'number': {
      if (typeof value !== 'number' || !Number.isFinite(value)) return false;
      const whole = spec.type === 'integer';
      // Devices compute in float32, where 1e39 is Infinity, 1e-50 zero and 1 - 1e-12 one.
      const used = whole ? value : Math.fround(value);
      if (whole ? !Number.isSafeInteger(value) : !Number.isFinite(used)) return false;
      const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = spec;
      return (spec.exclusiveMin ? used > min : value >= min) && (spec.exclusiveMax ? used < max : value <= max);
    }
    case 'choice':
      return spec.choices.includes(value as string);
    case 'strings':
      return Array.isArray(value) && value.every((item) => typeof item === 'string');
    case 'url':
      return typeof value === 'string' || value instanceof URL;
    case 'signal':
      // Not instanceof, because the signal may come from another realm.
      return typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value;
    case 'other':
      return value !== null;
    default:
      return typeof value === spec.type;
  }
}

/** The accepted values as text: `an integer from 0 to 63`, `one of a, b`. */
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

/** The known name that `word` is probably a misspelling of; undefined if none is close enough. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(word.length / 3));
  let best: { name: string; distance: number } | undefined;
  for (const name of known) {
    const distance = editDistance(word.toLowerCase(), name.toLowerCase());
    if (distance <= limit && !(best && best.distance <= distance)) best = { name, distance };
  }
  return best?.name;
}

/** Edit distance of two words: insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const [row, above, twoAbove] = [[i], rows[i - 1]!, rows[i - 2]];
    for (let j = 1; j <= b.length; j++) {
      const least = Math.min(row[j - 1]! + 1, above[j]! + 1, above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
      const swapped = twoAbove && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row.push(swapped ? Math.min(least, twoAbove[j - 2]! + 1) : least);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

/** A value as text for messages. NaN and Infinity keep their names; long values are cut. */
export function shown(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'number' || value === undefined) return String(value);
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    text = 'an object that JSON cannot write';
  }
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
