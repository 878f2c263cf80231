/**
 * Reads a folder with one sub-folder of images per class, in any format of the table in io/images. The shorter side is resized to
 * 1.125 × size. Training crops at random (and mirrors half of the images, if asked to); evaluation crops the centre
 * (arXiv 2408.12245, section 4.1).
 */
import { IoError } from '../core/errors.js';
import type { OptionTable } from '../core/options.js';
import { checkBackground, MAX_PIXELS } from '../io/images/format.js';
import { type DecodeOptions, decodeImage, formatOfName, type RgbImage, readableFormats } from '../io/images/index.js';
import { checkSize, heldOut, type ImageDataset, type ImageMode, type ImageSplits, imageOrNext } from './dataset.js';
import { type Folder, type FolderSource, openFolderSource, readFile } from './folder.js';
import { cropSquare, resizeShorter } from './resize.js';

/** How images of a folder are read. */
export interface ImageFolderOptions extends DecodeOptions {
  /** Side of the images that the tokenizer takes, in pixels. */
  size: number;
  /** True to mirror half of the training images. Default false. */
  flip?: boolean | undefined;
  /** Share of each class to hold out for evaluation, chosen by file name. Default 0.05. 0 holds out none. */
  holdout?: number | undefined;
  /** Names of sub-folders that are not classes, for example that of a training run. */
  exclude?: readonly string[] | undefined;
}

export const IMAGE_FOLDER = {
  size: { type: 'integer', min: 1, max: 4096, about: 'side of the images in pixels' },
  flip: { type: 'boolean', default: false, about: 'mirror half of the training images' },
  holdout: {
    type: 'number',
    min: 0,
    max: 1,
    exclusiveMax: true,
    default: 0.05,
    about: 'share of each class held out for evaluation; 0 holds out none',
  },
  exclude: { type: 'strings', about: 'sub-folders that are no classes, by name' },
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

/**
 * Opens a folder without reading an image. The classes are its sub-folders, sorted by name (by code units). Files that are not
 * images are listed in `skipped`, and so are images that later turn out to be unreadable. Throws IoError if there is no class, or
 * if one has no images.
 */
export async function openFolder(source: FolderSource | Folder, options: ImageFolderOptions): Promise<ImageSplits> {
  const { size, exclude = [], background, maxPixels } = options;
  const { flip = IMAGE_FOLDER.flip.default, holdout = IMAGE_FOLDER.holdout.default } = options;
  checkSize(size);
  if (background) checkBackground(background);
  const folder = typeof source === 'object' && 'list' in source ? source : await openFolderSource(source);
  const items: Item[] = [];
  const skipped: { name: string; reason: string }[] = [];
  const classes: string[] = [];
  for (const { name, folder: isFolder } of await folder.list()) {
    if (!isFolder || exclude.includes(name)) continue;
    const entries = await folder.list(name);
    const images = entries.filter((e) => !e.folder && isImage(e.name));
    if (images.length === 0 && isRun(entries)) {
      skipped.push({ name, reason: 'a run of training, not a class' });
      continue;
    }
    if (images.length === 0) throw emptyClass(`${folder.name}/${name}`, entries);
    const label = classes.push(name) - 1;
    for (const e of images) items.push({ path: `${name}/${e.name}`, label });
    for (const e of entries) {
      if (e.folder) skipped.push({ name: `${name}/${e.name}`, reason: 'a folder inside a class is not searched' });
      else if (!isImage(e.name))
        skipped.push({
          name: `${name}/${e.name}`,
          reason: formatOfName(e.name)?.unavailable?.() ?? `not a ${readableFormats()} file`,
        });
    }
  }
  if (classes.length === 0) throw await noClasses(folder);
  const labels = items.map((item) => item.label);
  const held = heldOut(labels, holdout, (i) => hash(items[i]!.path));
  const store = new Store(folder, Math.round(size * 1.125), skipped, { background, maxPixels });
  const split = (which: 0 | 1) => {
    const chosen = items.filter((_, i) => held[i] === which);
    return imageSet(store, chosen, { classes, size, flip });
  };
  return { train: split(0), eval: held.includes(1) ? split(1) : undefined };
}

/** The data set of some images of a folder. */
function imageSet(
  store: Store,
  items: readonly Item[],
  o: { classes: readonly string[]; size: number; flip: boolean },
): ImageDataset {
  const data = {
    classes: o.classes,
    length: items.length,
    size: o.size,
    augments: true,
    skipped: store.skipped,
    label: (i: number) => items[i]!.label,
    async tryImage(i: number, mode: ImageMode) {
      const image = await store.get(items[i]!.path);
      return image && cut(image, o.size, o.flip, mode);
    },
  };
  return { ...data, image: (i, mode) => imageOrNext(data, i, mode) };
}

/** Crops an image. Always draws three random numbers in the mode 'train', so that later draws do not depend on the image. */
function cut(image: RgbImage, size: number, flip: boolean, mode: ImageMode): Float32Array {
  const [x, y, mirror] = mode.kind === 'train' ? [mode.random(), mode.random(), mode.random()] : [0.5, 0.5, 1];
  const place = (u: number, room: number) => Math.min(room, Math.floor(u * (room + 1)));
  return cropSquare(image, size, place(x, image.width - size), place(y, image.height - size), flip && mirror < 0.5);
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
  return new IoError(`${found}; put the images into one sub-folder per class, such as ${folder.name}/cat/1.png.`);
}

function emptyClass(path: string, entries: readonly { folder: boolean }[]): IoError {
  if (entries.some((e) => e.folder))
    return new IoError(
      `${path} holds folders and no ${readableFormats()} images; if these are the classes, pass ${path} instead.`,
    );
  return new IoError(`${path} has no ${readableFormats()} images; add some, or remove this folder if it is no class.`);
}
