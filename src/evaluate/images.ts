/** Where images to compare come from: folders of pictures and zip archives of these, IDX files, NumPy archives. drawn.ts has a model's. */
import { IoError, OptionError } from '../core/errors.js';
import { inParallel } from '../data/dataset.js';
import { diskFolder, type Folder, fileFolder, readFile } from '../data/folder.js';
import { hasIdx, openIdx } from '../data/idx.js';
import { heldOutFolder } from '../data/image_folder.js';
import { isZip, openZipFolder } from '../data/zip_folder.js';
import type { ByteSource } from '../io/bytes.js';
import { decodeImage, formatOfName, prepareFormats, type Rgb, type RgbImage, readableFormats } from '../io/images/index.js';
import { type Npz, openNpz } from '../io/npy.js';
import { cropSquare, resizeShorter } from '../io/resize.js';
import { createSha256 } from '../io/sha256.js';
import { exists, isDirectory } from '../platform/files.js';
import type { ImageBytes } from './features.js';

export interface ReadOptions {
  signal?: AbortSignal | undefined;
  /** Called with the number of images of this call that are done, where making them takes long. */
  onImages?: ((done: number) => void) | undefined;
}

/** Images of one size, read when they are needed. */
export interface ImageSource {
  /** For messages. */
  readonly name: string;
  readonly length: number;
  readonly width: number;
  readonly height: number;
  /**
   * A text that differs if these images differ, where that can be known without making them. Without it, their pixels are compared
   * with those of cached features.
   */
  key?(first: number, count: number, options: ReadOptions): Promise<string>;
  /** Images first, …, first + count − 1. Rejects with `signal.reason` when aborted. */
  images(first: number, count: number, options: ReadOptions): Promise<ImageBytes>;
  close?(): Promise<void>;
}

/** How pictures are read. */
export interface PictureOptions {
  /** The size that images must have. Pictures of another one are resized by the shorter side and cropped; other images are refused. */
  size?: { readonly width: number; readonly height: number } | undefined;
  /** Part of a data set that has its held-out images apart. Default 'train'. */
  split?: 'train' | 'eval' | undefined;
  /** Behind transparent pixels. */
  background?: Rgb | undefined;
  /** Aborts the opening. */
  signal?: AbortSignal | undefined;
}

/** Says that two sets have different sizes. */
export function otherSize(name: string, got: { width: number; height: number }, want: { width: number; height: number }) {
  return new OptionError(
    `${name} has images of ${got.width}×${got.height} and the samples are ${want.width}×${want.height}; compare images of one size: ` +
      'the metrics depend on it.',
  );
}

/** Opens a folder of pictures or of IDX files, or a zip archive of one. Throws IoError if it has neither. */
export async function openPictures(source: string | Iterable<File>, options: PictureOptions): Promise<ImageSource> {
  const folder = await folderOf(source, options.signal);
  if (await hasIdx(folder)) return idxSource(folder, options);
  await prepareFormats();
  const held = await heldOutFolder(folder);
  const within = held === undefined ? '' : options.split === 'eval' ? held : 'train';
  if (held === undefined && options.split === 'eval')
    throw new OptionError(`${folder.name} has no folder of held-out images beside one named train; leave the split out.`);
  const paths = await pictures(folder, within);
  if (paths.length === 0)
    throw new IoError(`${folder.name} and the folders in it have no ${readableFormats()} pictures; pass a folder that has some.`);
  return pictureSource(folder, paths, options);
}

async function folderOf(source: string | Iterable<File>, signal: AbortSignal | undefined): Promise<Folder> {
  if (typeof source === 'string')
    return isZip(source) && !(await isDirectory(source)) ? openZipFolder(source, { signal }) : diskFolder(source);
  const files = [...source];
  const [file] = files;
  // fileFolder refuses what is no File.
  const isArchive = files.length === 1 && typeof file?.name === 'string' && isZip(file.name);
  return isArchive ? openZipFolder(file!, { signal }) : fileFolder(files);
}

/** Deepest folders that are searched for pictures. */
const DEPTH = 3;

async function pictures(folder: Folder, path: string, depth = 0): Promise<string[]> {
  const out: string[] = [];
  for (const { name, folder: isFolder } of await folder.list(path || undefined)) {
    const inner = path ? `${path}/${name}` : name;
    if (isFolder) out.push(...(depth < DEPTH ? await pictures(folder, inner, depth + 1) : []));
    else if (formatOfName(name) && !formatOfName(name)!.unavailable?.()) out.push(inner);
  }
  return out;
}

async function pictureSource(folder: Folder, paths: readonly string[], o: PictureOptions): Promise<ImageSource> {
  const { background, size } = o;
  const decode = async (path: string) => decodeImage(await readFile(folder, path), `${folder.name}/${path}`, { background });
  const { width, height } = size ?? (await decode(paths[0]!));
  const fitted = (image: RgbImage, path: string): Uint8Array => {
    if (image.width === width && image.height === height) return image.data;
    const shown = `${folder.name}/${path}`;
    if (!size)
      throw new OptionError(
        `${shown} is ${image.width}×${image.height} and ${paths[0]} ${width}×${height}; samples have one size: remove the others.`,
      );
    if (width !== height) throw otherSize(shown, image, size);
    return centre(image, width, shown);
  };
  return {
    name: folder.name,
    length: paths.length,
    width,
    height,
    async key(first, count, { signal }) {
      const files: Uint8Array[] = [];
      await inParallel(
        count,
        async (i) => {
          files[i] = await readFile(folder, paths[first + i]!);
        },
        { signal },
      );
      const hash = createSha256();
      const sizes = files.map((bytes) => bytes.length);
      hash.update(new TextEncoder().encode(JSON.stringify([width, height, background ?? null, sizes])));
      for (const bytes of files) hash.update(bytes);
      return hash.hex();
    },
    async images(first, count, { signal }) {
      const per = width * height * 3;
      const data = new Uint8Array(count * per);
      await inParallel(count, async (i) => data.set(fitted(await decode(paths[first + i]!), paths[first + i]!), i * per), {
        signal,
      });
      return { count, width, height, data };
    },
  };
}

/** The square in the middle, of an image whose shorter side is brought to `side`. */
function centre(image: RgbImage, side: number, name: string): Uint8Array {
  const near = resizeShorter(image, side, name);
  return bytesOf(cropSquare(near, side, (near.width - side) >> 1, (near.height - side) >> 1, false));
}

/** Floats in [-1, 1] as the bytes that they came from. */
const bytesOf = (floats: Float32Array) => Uint8Array.from(floats, (v) => Math.round((v + 1) * 127.5));

async function idxSource(folder: Folder, { size, split = 'train' }: PictureOptions): Promise<ImageSource> {
  if (!size)
    throw new OptionError(
      `${folder.name} is a data set of IDX files; as samples pass a folder or .zip of pictures, an .npz or a model.`,
    );
  if (size.width !== size.height)
    throw new OptionError(`the samples are ${size.width}×${size.height}, and images of IDX files are made square; pass an .npz.`);
  const data = await openIdx(folder, { split: split === 'train' ? 'train' : 'test', size: size.width });
  return {
    name: folder.name,
    length: data.length,
    width: size.width,
    height: size.height,
    async images(first, count, { signal }) {
      const per = size.width * size.height * 3;
      const bytes = new Uint8Array(count * per);
      await inParallel(count, async (i) => bytes.set(bytesOf(await data.image(first + i, { kind: 'eval' })), i * per), {
        signal,
      });
      return { count, width: size.width, height: size.height, data: bytes };
    },
  };
}

/** The images `arr_0` [n, height, width, 3] of an archive, as ADM's evaluation and `aim generate --out FILE.npz` write them. */
export async function npzImages(npz: Npz, file: ByteSource, signal?: AbortSignal): Promise<ImageSource> {
  const { dtype, shape, compressed } = await npz.describe('arr_0', signal);
  const [length, height, width, channels] = shape;
  const wrong = (what: string) =>
    new OptionError(
      `${file.name}: arr_0 is ${dtype} of [${shape.join(', ')}], ${what}; save uint8 images [n, height, width, 3].`,
    );
  if (dtype !== '|u1') throw wrong('and pixels are bytes from 0 to 255');
  if (shape.length !== 4 || channels !== 3 || shape.some((n) => n < 1)) throw wrong('which are not RGB images');
  const whole = compressed ? (await npz.read('arr_0', signal)).data : undefined;
  const per = height! * width! * 3;
  return {
    name: file.name,
    length: length!,
    width: width!,
    height: height!,
    async images(first, count, options) {
      const data = whole
        ? whole.slice(first * per, (first + count) * per)
        : (await npz.rows('arr_0', first, first + count, options.signal)).data;
      return { count, width: width!, height: height!, data: data as Uint8Array };
    },
    close: async () => file.close(),
  };
}

/** Opens an .npz of images. Throws CheckpointError if it is none, OptionError for images of another kind. */
export async function openNpzImages(file: ByteSource, signal?: AbortSignal): Promise<ImageSource> {
  try {
    return await npzImages(await openNpz(file, signal), file, signal);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** What is at a path: a NumPy archive, a folder of pictures (or a zip archive of one), or neither. */
export async function kindOf(path: string): Promise<'npz' | 'folder' | undefined> {
  if (await isDirectory(path)) return (await exists(`${path}/config.json`)) ? undefined : 'folder';
  if (isZip(path)) return 'folder';
  return /\.npz$/i.test(path) ? 'npz' : undefined;
}
