/**
 * Reads a folder with one sub-folder of images per class, in any format of the table in io/images. The shorter side is resized to
 * 1.125 × size. Training crops at random (and mirrors half of the images, if asked to); evaluation crops the centre
 * (arXiv 2408.12245, section 4.1).
 */
import { IoError, OptionError } from '../core/errors.js';
import type { OptionTable } from '../core/options.js';
import { checkBackground, MAX_PIXELS } from '../io/images/format.js';
import {
  type DecodeOptions,
  decodeImage,
  formatOfName,
  prepareFormats,
  type RgbImage,
  readableFormats,
} from '../io/images/index.js';
import { cropSquare, resizeShorter } from '../io/resize.js';
import { checkSize, heldOut, type ImageDataset, type ImageMode, type ImageSplits, imageOrNext, inParallel } from './dataset.js';
import { Digest } from './digest.js';
import { type Folder, type FolderSource, openFolderSource, readFile } from './folder.js';
import { jitterColours } from './jitter.js';
import { type LabelSource, type Labels, readLabels } from './labels.js';

/** How images of a folder are read. */
export interface ImageFolderOptions extends DecodeOptions {
  /** Side of the images that the tokenizer takes, in pixels. */
  size: number;
  /** True to mirror half of the training images. Default false. */
  flip?: boolean | undefined;
  /**
   * Largest relative change of brightness, contrast and saturation of training images, at random for each crop; 0.2 is moderate. Default
   * 0: none.
   */
  jitter?: number | undefined;
  /**
   * Share of each class held out for evaluation, chosen by file name. Default 0.05; 0 is none. Not for a folder with `train` and
   * `val`, which holds out what is in `val`.
   */
  holdout?: number | undefined;
  /** Names of sub-folders that are not classes, for example that of a training run. */
  exclude?: readonly string[] | undefined;
  /**
   * A table with the class of each picture, for a folder that has them side by side: lines `file,label`, where the file is relative to the
   * folder. Separated by commas, semicolons or tabs; quotes as in RFC 4180. A first line that names the columns (`file` or `image`,
   * `filename`, `path`, `name`, `id`; `label` or `class`, `category`) may stand above, and then there may be other columns. A path (Node,
   * Deno) or URL, a File, or the bytes.
   */
  labels?: LabelSource | undefined;
}

export const IMAGE_FOLDER = {
  size: { type: 'integer', min: 1, max: 4096, about: 'side of the images in pixels' },
  flip: { type: 'boolean', default: false, about: 'mirror half of the training images' },
  jitter: {
    type: 'number',
    min: 0,
    max: 1,
    default: 0,
    about: 'largest relative change of brightness, contrast and saturation of training images; 0 is none',
  },
  holdout: {
    type: 'number',
    min: 0,
    max: 1,
    exclusiveMax: true,
    default: 0.05,
    about: 'share of each class held out for evaluation; 0 holds out none',
  },
  exclude: { type: 'strings', about: 'sub-folders that are no classes, by name' },
  labels: { type: 'other', about: 'a table of lines `file,label`, for pictures that are not in class folders' },
  background: { type: 'other', about: 'red, green and blue behind transparent pixels, from 0 to 255; by default white' },
  maxPixels: {
    type: 'number',
    min: 0,
    exclusiveMin: true,
    default: MAX_PIXELS,
    about: 'images with more pixels are skipped before they are decoded',
  },
} as const satisfies OptionTable<ImageFolderOptions>;

/** Bytes of resized images to cache. Nothing is evicted: images are read in random order, so all are equally useful. */
const CACHE_BYTES = 256 * 2 ** 20;

interface Item {
  path: string;
  label: number;
}

/** True for a file whose extension belongs to a format that this runtime reads. */
function isImage(name: string): boolean {
  const format = formatOfName(name);
  return format !== undefined && !format.unavailable?.();
}

/** True for a folder that `aim train` created, which is often next to the images. */
const isRun = (entries: readonly { name: string }[]) => entries.some(({ name }) => name === 'latest' || name === 'run.json');

/** Names of a folder with held-out images beside one named `train`. The first of them that exists is used. */
const HELD_OUT = ['val', 'valid', 'validation', 'test'];

/**
 * Opens the folder without reading an image. Classes are the sub-folders in order of their names (by code unit). A folder with
 * `train` and `val` (or `valid`, `validation`, `test`), each of which has the class folders, is taken as training and held-out
 * images; `holdout` must then not be given. Files that are no images, and later those that turn out to be unreadable, are listed in
 * `skipped`. Throws IoError when there is no class, or one without images, or when the two parts differ in their classes.
 */
export async function openFolder(
  source: FolderSource | Folder,
  options: ImageFolderOptions,
  signal?: AbortSignal,
): Promise<ImageSplits> {
  const { size, exclude = [], background, maxPixels, flip = IMAGE_FOLDER.flip.default } = options;
  const { jitter = IMAGE_FOLDER.jitter.default } = options;
  checkSize(size);
  await prepareFormats();
  if (background) checkBackground(background);
  const folder = typeof source === 'object' && 'list' in source ? source : await openFolderSource(source);
  const skipped: { name: string; reason: string }[] = [];
  const store = new Store(folder, Math.round(size * 1.125), skipped, { background, maxPixels });
  const labels = options.labels === undefined ? undefined : await readLabels(options.labels, signal);
  const split = labels ? undefined : await heldOutFolder(folder);
  if (split !== undefined) {
    if (options.holdout !== undefined)
      throw new OptionError(`holdout is given, but ${folder.name} has its held-out images in the folder ${split}; leave it out.`);
    const [train, held] = [await scan(folder, 'train', exclude, skipped), await scan(folder, split, exclude, skipped)];
    const { classes } = train;
    if (classes.join('\n') !== held.classes.join('\n')) {
      const only = classes.find((name) => !held.classes.includes(name));
      const [name, other] = only === undefined ? [held.classes.find((c) => !classes.includes(c)), 'train'] : [only, split];
      throw new IoError(
        `${folder.name} has the class ${name} in one of its folders train and ${split}, and not in ${other}; both need the same class folders.`,
      );
    }
    const part = (items: readonly Item[]) => imageSet(store, items, { classes, size, flip, jitter });
    return { train: part(train.items), eval: part(held.items) };
  }
  const { items, classes } = labels ? await labelled(folder, labels, skipped) : await scan(folder, '', exclude, skipped);
  if (classes.length === 0) throw await noClasses(folder);
  const numbers = items.map((item) => item.label);
  const held = heldOut(numbers, options.holdout ?? IMAGE_FOLDER.holdout.default, (i) => hash(items[i]!.path));
  const part = (which: 0 | 1) => {
    const chosen = items.filter((_, i) => held[i] === which);
    return imageSet(store, chosen, { classes, size, flip, jitter });
  };
  return { train: part(0), eval: held.includes(1) ? part(1) : undefined };
}

/** The folder with the held-out images, beside one named `train`; undefined where the sub-folders are the classes. */
export async function heldOutFolder(folder: Folder): Promise<string | undefined> {
  const names = (await folder.list()).filter((e) => e.folder).map((e) => e.name);
  const other = HELD_OUT.find((name) => names.includes(name));
  if (!names.includes('train') || other === undefined) return undefined;
  // Folders with images in them are classes that happen to have these names.
  for (const name of ['train', other]) {
    const entries = await folder.list(name);
    if (!entries.some((e) => e.folder) || entries.some((e) => !e.folder && isImage(e.name))) return undefined;
  }
  return other;
}

/** The images in the class folders of `folder`, or of its sub-folder `within`. Adds what is no image to `skipped`. */
async function scan(
  folder: Folder,
  within: string,
  exclude: readonly string[],
  skipped: { name: string; reason: string }[],
): Promise<{ items: Item[]; classes: string[] }> {
  const items: Item[] = [];
  const classes: string[] = [];
  for (const { name, folder: isFolder } of await folder.list(within || undefined)) {
    if (!isFolder || exclude.includes(name)) continue;
    const path = within ? `${within}/${name}` : name;
    const entries = await folder.list(path);
    const images = entries.filter((e) => !e.folder && isImage(e.name));
    if (images.length === 0 && isRun(entries)) {
      skipped.push({ name: path, reason: 'a run of training, not a class' });
      continue;
    }
    if (images.length === 0) throw emptyClass(`${folder.name}/${path}`, entries);
    const label = classes.push(name) - 1;
    for (const e of images) items.push({ path: `${path}/${e.name}`, label });
    for (const e of entries) {
      if (e.folder) skipped.push({ name: `${path}/${e.name}`, reason: 'a folder inside a class is not searched' });
      else if (!isImage(e.name)) skipped.push({ name: `${path}/${e.name}`, reason: notRead(e.name) });
    }
  }
  return { items, classes };
}

/**
 * The images that a table gives classes, which are in order of their names (by code unit). Adds to `skipped` what is in the folder or
 * in the table alone. Throws IoError if that leaves none.
 */
async function labelled(
  folder: Folder,
  table: Labels,
  skipped: { name: string; reason: string }[],
): Promise<{ items: Item[]; classes: string[] }> {
  const known = new Map<string, ReturnType<Folder['list']>>();
  const parentOf = (path: string) => path.slice(0, Math.max(0, path.lastIndexOf('/')));
  /** The entries of a sub-folder; none where its parents do not have it. */
  const listed = (path: string): ReturnType<Folder['list']> => {
    const found =
      known.get(path) ??
      (async () => {
        const inParent =
          path === '' || (await listed(parentOf(path))).some((e) => e.folder && e.name === path.slice(path.lastIndexOf('/') + 1));
        return inParent ? folder.list(path || undefined) : [];
      })();
    known.set(path, found);
    return found;
  };
  const found: { path: string; of: string }[] = [];
  const folders = new Set(['', ...[...table.classes.keys()].map(parentOf)]);
  const missing = new Set(table.classes.keys());
  for (const within of [...folders].sort())
    for (const { name, folder: isFolder } of await listed(within)) {
      const path = within ? `${within}/${name}` : name;
      const of = table.classes.get(path);
      if (isFolder || !(of !== undefined || isImage(name))) continue;
      missing.delete(path);
      if (!of) skipped.push({ name: path, reason: `${table.name} gives it no class` });
      else if (!isImage(name)) skipped.push({ name: path, reason: notRead(name) });
      else found.push({ path, of });
    }
  for (const name of missing) skipped.push({ name, reason: `named in ${table.name}, but not in ${folder.name}` });
  if (found.length === 0) {
    const [example] = table.classes.keys();
    throw new IoError(
      `${folder.name} has none of the pictures that ${table.name} names${example === undefined ? '' : ` (such as ${example})`}; ` +
        'name them as they are called in that folder.',
    );
  }
  const classes = [...new Set(found.map(({ of }) => of))].sort();
  const numbers = new Map(classes.map((name, k) => [name, k]));
  return { items: found.map(({ path, of }) => ({ path, label: numbers.get(of)! })), classes };
}

/** Why a file is no image that is read here. */
const notRead = (name: string) => formatOfName(name)?.unavailable?.() ?? `not a ${readableFormats()} file`;

/** The data set of some images of a folder. */
function imageSet(store: Store, items: readonly Item[], o: { classes: readonly string[] } & Cut): ImageDataset {
  const data = {
    classes: o.classes,
    length: items.length,
    size: o.size,
    augments: true,
    skipped: store.skipped,
    label: (i: number) => items[i]!.label,
    fingerprint: () => store.fingerprint(items, o),
    async tryImage(i: number, mode: ImageMode) {
      const image = await store.get(items[i]!.path);
      return image && cut(image, o, mode);
    },
  };
  return { ...data, image: (i, mode) => imageOrNext(data, i, mode) };
}

/** How training images are cut and changed. */
interface Cut {
  size: number;
  flip: boolean;
  jitter: number;
}

/** Crops an image. In the mode 'train' the first three random numbers are those of the crop, whatever the other options. */
function cut(image: RgbImage, { size, flip, jitter }: Cut, mode: ImageMode): Float32Array {
  const [x, y, mirror] = mode.kind === 'train' ? [mode.random(), mode.random(), mode.random()] : [0.5, 0.5, 1];
  const place = (u: number, room: number) => Math.min(room, Math.floor(u * (room + 1)));
  const cropped = cropSquare(image, size, place(x, image.width - size), place(y, image.height - size), flip && mirror < 0.5);
  return mode.kind === 'train' && jitter > 0 ? jitterColours(cropped, jitter, mode.random) : cropped;
}

/** Decoded and resized images by path. The first 256 MiB stay in memory; the others are read again each time. */
class Store {
  private readonly cached = new Map<string, RgbImage>();
  private readonly unreadable = new Set<string>();
  private room = CACHE_BYTES;

  constructor(
    private readonly folder: Folder,
    private readonly side: number,
    readonly skipped: { name: string; reason: string }[],
    private readonly decoding: DecodeOptions,
  ) {}

  /** Hash of the names, classes and sizes of the files, and of how they are cut. */
  async fingerprint(items: readonly Item[], { size, flip, jitter }: Cut): Promise<string> {
    const sizes = new Array<number>(items.length);
    await inParallel(items.length, async (i) => {
      sizes[i] = await this.folder.size(items[i]!.path);
    });
    const digest = new Digest().numbers([size, Number(flip)]);
    // Not where there is none, so that runs from before this option can be resumed.
    if (jitter > 0) digest.text(`jitter ${jitter}`);
    items.forEach(({ path, label }, i) => {
      digest.text(path).numbers([label, sizes[i]! % 2 ** 32]);
    });
    return digest.hex();
  }

  /** The image at a path. Returns undefined if it is unreadable, and lists it in `skipped` the first time. */
  async get(path: string): Promise<RgbImage | undefined> {
    if (this.unreadable.has(path)) return undefined;
    const cached = this.cached.get(path);
    if (cached) return cached;
    try {
      const image = resizeShorter(await decodeImage(await readFile(this.folder, path), path, this.decoding), this.side, path);
      if (image.data.length <= this.room && !this.cached.has(path)) {
        this.cached.set(path, image);
        this.room -= image.data.length;
      }
      return image;
    } catch (error) {
      // Other errors, such as a lack of memory, do not mean that the file is bad.
      if (!(error instanceof IoError)) throw error;
      if (!this.unreadable.has(path)) this.skipped.push({ name: path, reason: error.message });
      this.unreadable.add(path);
      return undefined;
    }
  }
}

/** FNV-1a hash of a path, with additional mixing so that similar names get different values. */
function hash(path: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < path.length; i++) h = Math.imul(h ^ path.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

async function noClasses(folder: Folder): Promise<IoError> {
  const images = (await folder.list()).filter((e) => isImage(e.name)).length;
  const found = images
    ? `${images} ${images === 1 ? 'image lies' : 'images lie'} in ${folder.name} itself`
    : `${folder.name} has no sub-folders`;
  return new IoError(
    `${found}; put the images into one sub-folder per class, such as ${folder.name}/cat/1.png, or name their classes in a table (labels).`,
  );
}

function emptyClass(path: string, entries: readonly { folder: boolean }[]): IoError {
  if (entries.some((e) => e.folder))
    return new IoError(
      `${path} holds folders and no ${readableFormats()} images; if these are the classes, pass ${path} instead.`,
    );
  return new IoError(`${path} has no ${readableFormats()} images; add some, or remove this folder if it is no class.`);
}
