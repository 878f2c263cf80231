/** The record of its training data in a checkpoint, by which a run is not continued on other data by mistake. */
import { OptionError } from '../core/errors.js';
import { type Codes, imagesOf } from '../data/codes.js';
import type { ImageSplits } from '../data/dataset.js';
import { Digest } from '../data/digest.js';

/** `data` in state.json. */
export interface DataIdentity {
  classes: readonly string[];
  /** Training and held-out images. */
  images: number;
  held: number;
  /** Hash of the codes and labels, or of the names and sizes of the image files; missing where the data set gives none. */
  fingerprint?: string | undefined;
}

export function identityOfCodes(codes: Codes): DataIdentity {
  const { classes, labels, eval: held } = codes;
  let fingerprint = imagesOf(codes);
  if (fingerprint === undefined) {
    const digest = new Digest().numbers(codes.codes).numbers(labels);
    if (held) digest.numbers(held.codes).numbers(held.labels);
    fingerprint = digest.hex();
  }
  return { classes: [...classes], images: labels.length, held: held?.labels.length ?? 0, fingerprint };
}

export async function identityOfImages({ train, eval: held }: ImageSplits): Promise<DataIdentity> {
  const parts = [await train.fingerprint?.(), await held?.fingerprint?.()];
  return {
    classes: [...train.classes],
    images: train.length,
    held: held?.length ?? 0,
    ...(parts[0] !== undefined && { fingerprint: new Digest().text(parts.join()).hex() }),
  };
}

/**
 * Throws OptionError if `now` is not the data of the run, which is `was`. With `changed` other images are allowed, of classes that
 * the run knows.
 */
export function checkIdentity(was: DataIdentity, now: DataIdentity, changed: boolean): void {
  const list = (names: readonly string[]) => `${names.slice(0, 10).join(', ')}${names.length > 10 ? ', …' : ''}`;
  const unknown = changed
    ? now.classes.find((name) => !was.classes.includes(name))
    : now.classes.length !== was.classes.length || now.classes.some((name, k) => name !== was.classes[k]);
  if (unknown !== undefined && unknown !== false) {
    const what = changed ? `${unknown}, which the run does not know` : list(now.classes);
    throw new OptionError(
      `the run was trained on the classes ${list(was.classes)}, and the data has ${what}; a run keeps its classes: give it the same ` +
        'ones, or begin a new run from its weights (--init), which assigns classes by name.',
    );
  }
  if (changed) return;
  const remedy =
    'give it the data that it was trained on, or say that the data has changed (--data-changed; in code `dataChanged: true`).';
  if (now.images !== was.images || now.held !== was.held)
    throw new OptionError(
      `the run was trained on ${was.images} images with ${was.held} held out, and the data has ${now.images} and ${now.held}; ${remedy}`,
    );
  if (was.fingerprint !== undefined && now.fingerprint !== undefined && was.fingerprint !== now.fingerprint)
    throw new OptionError(`the data has as many images as the run was trained on, but they are not the same; ${remedy}`);
}

/** The identity in a state.json; undefined where a version that did not record it has written the file. */
export function savedIdentity(value: unknown): DataIdentity | undefined {
  const data = value as Partial<DataIdentity> | null | undefined;
  const isValid = typeof data === 'object' && data !== null && Array.isArray(data.classes);
  return isValid && Number.isInteger(data.images) && Number.isInteger(data.held) ? (data as DataIdentity) : undefined;
}
