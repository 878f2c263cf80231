/**
 * The 1000 classes of ImageNet (ILSVRC 2012) in their usual order: class i is line i of imagenet_classes.txt, counted from 0. The
 * names are those of WordNet's synsets, from the list of @tensorflow-models/mobilenet (Apache 2.0). Four classes differ from that
 * list, so that the first names of all classes are different: 134 and 517 say which "crane" they are; 264 ("Cardigan") and 639
 * ("maillot") begin with another synonym. The text takes 22 kB: import this module only where it is needed (`await import`).
 */
import { OptionError } from '../core/errors.js';
import { nearest, shown } from '../core/options.js';
import type { ClassChoice } from './classes.js';
import text from './imagenet_classes.txt?text';

/** For each class, its names. The usual name is first. */
export const IMAGENET_SYNONYMS: readonly (readonly string[])[] = text
  .trim()
  .split('\n')
  .map((names) => names.split(', '));

/** For each class, its first name. All 1000 names are different. */
export const IMAGENET_CLASSES: readonly string[] = IMAGENET_SYNONYMS.map((names) => names[0]!);

/** A name without differences of case, underscores, hyphens and repeated blanks. */
function normal(name: string): string {
  return name
    .toLowerCase()
    .replace(/[\s_-]+/g, ' ')
    .trim();
}

let byName: Map<string, number[]> | undefined;

/**
 * The index of the class with this name or synonym, or undefined if there is none. The first name of a class takes precedence
 * over a synonym of another. Throws OptionError with the classes if a synonym belongs to several ("panda": lesser and giant
 * panda).
 */
export function imagenetClassIndex(name: string): number | undefined {
  if (!byName) {
    byName = new Map();
    IMAGENET_SYNONYMS.forEach((names, index) => {
      for (const each of new Set(names.map(normal))) byName!.set(each, [...(byName!.get(each) ?? []), index]);
    });
    for (const [index, first] of IMAGENET_CLASSES.entries()) byName.set(normal(first), [index]);
  }
  const found = byName.get(normal(name)) ?? [];
  if (found.length > 1) {
    const classes = found.map((index) => `${JSON.stringify(IMAGENET_CLASSES[index])} (${index})`).join(' and ');
    throw new OptionError(`${JSON.stringify(name)} is a name of several ImageNet classes: ${classes}; use one of these names.`);
  }
  return found[0];
}

/** The most names that an error message lists. */
const LISTED = 8;

/**
 * `classes` with numbers instead of the items for which `isName` is true. Throws OptionError for a name that ImageNet does not have,
 * with the classes that have this word, or the one that is spelled alike; and for a synonym of several classes.
 */
export function imagenetClasses(classes: ClassChoice, isName: (one: unknown) => boolean): (number | string)[] {
  return [classes].flat().map((one) => (isName(one) ? imagenetClass(one as string) : (one as number | string)));
}

function imagenetClass(name: string): number {
  const index = imagenetClassIndex(name);
  if (index !== undefined) return index;
  const key = normal(name);
  const having = IMAGENET_CLASSES.filter((_, i) =>
    IMAGENET_SYNONYMS[i]!.some((each) => ` ${normal(each)} `.includes(` ${key} `)),
  );
  const near = nearest(key, IMAGENET_SYNONYMS.flat());
  const list = having.slice(0, LISTED).join(', ') + (having.length > LISTED ? ', …' : '');
  const hint = having.length && key ? `; these have the word: ${list}` : near ? `; did you mean ${shown(near)}?` : '';
  throw new OptionError(
    `ImageNet has no class ${shown(name)}${hint} (or give a number from 0 to ${IMAGENET_CLASSES.length - 1}).`,
  );
}
