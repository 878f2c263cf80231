/**
 * The 1000 classes of ImageNet (ILSVRC 2012) in their usual order: class i is line i of imagenet_classes.txt. The names are
 * those of WordNet's synsets as in the list of @tensorflow-models/mobilenet (Apache 2.0). Four classes differ from that list,
 * so that no two classes have the same first name: 134 and 517 ("crane") say which crane, 264 ("Cardigan") and 639 ("maillot")
 * put another synonym first. The text takes 22 kB: import this module only where it is needed (`await import`).
 */
import { OptionError } from '../core/errors.js';
import text from './imagenet_classes.txt?text';

/** For each class index: its names, the usual one first. */
export const IMAGENET_SYNONYMS: readonly (readonly string[])[] = text
  .trim()
  .split('\n')
  .map((names) => names.split(', '));

/** For each class index: its first name. All 1000 differ. */
export const IMAGENET_CLASSES: readonly string[] = IMAGENET_SYNONYMS.map((names) => names[0]!);

/** Case, underscores, hyphens and repeated blanks do not matter. */
function normal(name: string): string {
  return name
    .toLowerCase()
    .replace(/[\s_-]+/g, ' ')
    .trim();
}

let byName: Map<string, number[]> | undefined;

/**
 * The index of the class with this name or synonym, undefined if there is none. A class's first name goes before another's
 * synonym. Throws OptionError naming the classes where a synonym belongs to several ("panda": lesser and giant panda).
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
