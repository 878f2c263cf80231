/** Class names of a checkpoint, and the classes that a caller selects by number or name. */
import { CheckpointError, OptionError } from '../core/errors.js';
import { parseJson } from '../core/json.js';
import { shown } from '../core/options.js';

/** A selection of classes: numbers or names, or 'all'. */
export type ClassChoice = readonly (number | string)[] | number | string;

/** The number of classes of ImageNet. A model with as many, and without names of its own, draws those. */
const IMAGENET = 1000;

/** The most classes to list in an error message. */
const NAMED = 40;

/** The names in a classes.json; undefined without one. Throws CheckpointError unless it is a list of `count` names. */
export function parseClasses(text: string | undefined, count: number): string[] | undefined {
  if (text === undefined) return undefined;
  let names: unknown;
  try {
    names = parseJson(text);
  } catch {}
  if (!Array.isArray(names) || names.length !== count || !names.every((n) => typeof n === 'string'))
    throw new CheckpointError(`classes.json must be a list of ${count} names, one per class; correct it or take it away.`);
  return names;
}

/** The names of a model's classes: its own, else ImageNet's if it has 1000 classes. */
export async function classNames(count: number, own: readonly string[] | undefined): Promise<readonly string[] | undefined> {
  return own ?? (count === IMAGENET ? (await import('./imagenet.js')).IMAGENET_CLASSES : undefined);
}

/** `resolveClasses`; in a model of 1000 classes without names, strings are ImageNet's names and synonyms, loaded only then. */
export async function findClasses(
  classes: ClassChoice | undefined,
  count: number,
  own: readonly string[] | undefined,
): Promise<number[]> {
  const isName = (one: unknown) => typeof one === 'string' && one !== 'all' && !/^\s*\d+\s*$/.test(one);
  const known = own || count !== IMAGENET || ![classes].flat().some(isName);
  return resolveClasses(known ? classes : (await import('./imagenet.js')).imagenetClasses(classes!, isName), count, own);
}

/**
 * The numbers of the selected classes. A string is looked up in `names`: first for an exact match; then ignoring case, Unicode
 * normalisation and surrounding blanks; then it is read as a number. Throws OptionError for an unknown class, and for a name that
 * several classes share, with their numbers.
 *
 * @param count Number of classes of the model, so numbers go from 0 to count − 1.
 */
export function resolveClasses(classes: ClassChoice = 'all', count: number, names: readonly string[] | undefined): number[] {
  if (classes === 'all') return Array.from({ length: count }, (_, i) => i);
  const list = Array.isArray(classes) ? (classes as (number | string)[]) : [classes as number | string];
  if (list.length === 0) throw new OptionError("classes is empty; name at least one class, or 'all'.");
  return list.map((one) => resolveClass(one, count, names));
}

function resolveClass(wanted: number | string, count: number, names: readonly string[] | undefined): number {
  const isClass = (k: number) => Number.isInteger(k) && k >= 0 && k < count;
  if (typeof wanted === 'number' && isClass(wanted)) return wanted;
  if (typeof wanted === 'string') {
    const found = matches(wanted, names ?? []);
    if (found.length === 1) return found[0]!;
    if (found.length > 1)
      throw new OptionError(
        `class ${shown(wanted)} may be ${found.map((k) => `${k} (${names![k]})`).join(' or ')}; give the number of the one you mean.`,
      );
    const digits = wanted.trim();
    if (/^\d+$/.test(digits) && isClass(Number(digits))) return Number(digits);
  }
  const listed = names && names.slice(0, NAMED).join(', ') + (names.length > NAMED ? ', …' : '');
  const choice = listed ? ` or one of ${listed}` : ' (this model has no class names)';
  throw new OptionError(`there is no class ${shown(wanted)}; use a number from 0 to ${count - 1}${choice}.`);
}

/** Numbers of the classes that match `wanted`. */
function matches(wanted: string, names: readonly string[]): number[] {
  const where = (fits: (name: string) => boolean) => names.flatMap((name, k) => (fits(name) ? [k] : []));
  const exact = where((name) => name === wanted);
  if (exact.length) return exact;
  const plain = (name: string) => name.trim().normalize('NFC').toLowerCase();
  const key = plain(wanted);
  return where((name) => plain(name) === key);
}
