/**
 * Reads IDX files (yann.lecun.com/exdb/mnist): a big-endian magic number 0x0000_08_rank (unsigned bytes), the sizes, the bytes.
 */
import { IoError, OptionError } from '../core/errors.js';
import { inflated, joined } from '../io/inflate.js';
import { checkSize, type ImageDataset, type ImageSplits } from './dataset.js';
import { Digest } from './digest.js';
import { diskFolder, type Folder, type FolderSource, openFolderSource, readFile } from './folder.js';

/** The content of an IDX file, in row-major order. */
export interface IdxArray {
  shape: number[];
  data: Uint8Array;
}

/** Parses an IDX file of unsigned bytes. Throws IoError with the file's name if its magic number or sizes are wrong. */
export function parseIdx(bytes: Uint8Array, name: string, rank: number): IdxArray {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = bytes.length >= 4 ? view.getUint32(0) : 0;
  if (magic !== 0x0800 + rank)
    throw new IoError(
      `${name} is no IDX file of rank ${rank} (magic 0x${magic.toString(16)}, expected 0x${(0x0800 + rank).toString(16)}); ` +
        'images have rank 3 and labels rank 1: were they mixed up?',
    );
  const head = 4 + 4 * rank;
  const shape = bytes.length >= head ? Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i)) : [];
  const size = shape.reduce((a, b) => a * b, 1);
  if (bytes.length !== head + size)
    throw new IoError(
      `${name}: its header promises ${shape.join('×')} = ${size} bytes, the file holds ${
        bytes.length > head + size ? 'more' : Math.max(0, bytes.length - head)
      }; it is cut or damaged: download it again.`,
    );
  return { shape, data: bytes.subarray(head) };
}

/** Reads NAME or NAME.gz in `folder`. Throws IoError if there is neither, and like parseIdx. */
export async function readIdx(folder: Folder | string, name: string, rank: number): Promise<IdxArray> {
  const from = typeof folder === 'string' ? diskFolder(folder) : folder;
  const names = new Set((await from.list()).map((e) => e.name));
  const shown = `${from.name}/${name}`;
  if (names.has(name)) return parseIdx(await readFile(from, name), shown, rank);
  if (!names.has(`${name}.gz`))
    throw new IoError(`there is neither ${shown} nor ${shown}.gz; pass the folder that holds the IDX files.`);
  return parseIdx(await gunzip(await readFile(from, `${name}.gz`), `${shown}.gz`, rank), `${shown}.gz`, rank);
}

/** A limit above every data set in this format, and below the largest size of an array. */
const MAX_BYTES = 2 ** 32;

/** Inflates at most one byte more than the header asks for. parseIdx refuses a file with that extra byte. */
async function gunzip(bytes: Uint8Array, name: string, rank: number): Promise<Uint8Array> {
  const head = 4 + 4 * rank;
  const pieces: Uint8Array[] = [];
  let have = 0;
  let wanted: number | undefined;
  try {
    for await (const piece of inflated(bytes, 'gzip')) {
      pieces.push(piece);
      have += piece.length;
      if (wanted === undefined && have >= head) {
        const start = joined(pieces, head);
        const view = new DataView(start.buffer);
        // If the magic number is wrong, parseIdx needs only the header.
        const sizes = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
        wanted = view.getUint32(0) === 0x0800 + rank ? head + sizes.reduce((a, b) => a * b, 1) : head;
        if (wanted > MAX_BYTES)
          throw new IoError(`${name}: its header asks for ${wanted} bytes, more than the 4 GiB allowed; split the data set.`);
      }
      if (wanted !== undefined && have > wanted) break;
    }
  } catch (error) {
    if (error instanceof IoError) throw error;
    const why = (error as Error & { cause?: Error }).cause?.message ?? (error as Error).message;
    throw new IoError(`${name} is no readable gzip file (${why}); download it again.`, { cause: error });
  }
  return joined(pieces, Math.min(have, wanted === undefined ? have : wanted + 1));
}

/** Converts the grey images [n, h, w] at these indices to RGB floats in [-1, 1], padded with black to size × size. */
export function greyToRgb({ shape, data }: IdxArray, index: readonly number[], size: number): Float32Array {
  const [n, h, w] = shape as [number, number, number];
  const [top, left] = [(size - h) >> 1, (size - w) >> 1];
  const out = new Float32Array(index.length * size * size * 3).fill(-1);
  index.forEach((source, i) => {
    if (source >= n) throw new IoError(`image ${source} was asked for, but the data set has ${n}; ask for one of those.`);
    for (let y = 0; y < h; y++) {
      let from = (source * h + y) * w;
      let to = ((i * size + y + top) * size + left) * 3;
      for (let x = 0; x < w; x++) {
        const v = data[from++]! / 127.5 - 1;
        out[to++] = v;
        out[to++] = v;
        out[to++] = v;
      }
    }
  });
  return out;
}

export type IdxSplit = 'train' | 'test';
const PREFIX = { train: 'train', test: 't10k' };

/** Options of `openIdx`. */
export interface IdxOptions {
  /** Side of the images that the tokenizer takes. Smaller images are padded with black. */
  size: number;
  /** Class names. Default: the class numbers. */
  classes?: readonly string[] | undefined;
}

/**
 * Opens files like those of Fashion-MNIST: {train,t10k}-images-idx3-ubyte and -labels-idx1-ubyte, each also as .gz. Images are
 * not cropped, so the modes 'train' and 'eval' give the same image. Throws IoError with the file that is missing, damaged or does
 * not match the other one.
 */
export async function openIdx(
  source: FolderSource | Folder,
  { split, size, classes }: IdxOptions & { split: IdxSplit },
): Promise<ImageDataset> {
  checkSize(size);
  const folder = await folderOf(source);
  const images = await readIdx(folder, `${PREFIX[split]}-images-idx3-ubyte`, 3);
  const labels = await readIdx(folder, `${PREFIX[split]}-labels-idx1-ubyte`, 1);
  const [n, h, w] = images.shape as [number, number, number];
  const shown = `${folder.name}/${PREFIX[split]}-*`;
  if (labels.shape[0] !== n)
    throw new IoError(`${shown}: there are ${n} images and ${labels.shape[0]} labels; download the two files again.`);
  if (n === 0) throw new IoError(`${shown}: there are no images; pass a folder that has some.`);
  if (h > size || w > size || h < 1 || w < 1)
    throw new OptionError(`${shown}: images are ${h}×${w}, the tokenizer takes ${size}×${size}; use one for larger images.`);
  const names = classes ?? (await idxClasses(folder));
  const most = labels.data.reduce((a, b) => Math.max(a, b), 0);
  if (most >= names.length)
    throw new OptionError(`${shown}: label ${most} has no name among the ${names.length} classes; name every class.`);
  const image = async (i: number) => greyToRgb(images, [i], size);
  return {
    classes: names,
    length: n,
    size,
    augments: false,
    skipped: [],
    label: (i) => labels.data[i]!,
    fingerprint: () => new Digest().numbers(images.shape).numbers(images.data).numbers(labels.data).hex(),
    tryImage: image,
    image,
  };
}

/** Opens both splits. `eval` is undefined if the folder has no t10k files. Throws like openIdx. */
export async function openIdxSplits(source: FolderSource | Folder, options: IdxOptions): Promise<ImageSplits> {
  const folder = await folderOf(source);
  return {
    train: await openIdx(folder, { ...options, split: 'train' }),
    eval: (await hasIdx(folder, 'test')) ? await openIdx(folder, { ...options, split: 'test' }) : undefined,
  };
}

/** True if the folder has the images of the given split or, without one, of any split. */
export async function hasIdx(folder: Folder, split?: IdxSplit): Promise<boolean> {
  const prefixes = split ? [PREFIX[split]] : Object.values(PREFIX);
  const names = (await folder.list()).map((e) => e.name);
  return names.some((name) => prefixes.some((p) => name === `${p}-images-idx3-ubyte` || name === `${p}-images-idx3-ubyte.gz`));
}

/** The names '0' to that of the largest label in any split, so that both splits have the same classes. */
async function idxClasses(folder: Folder): Promise<string[]> {
  let most = 0;
  for (const split of ['train', 'test'] as const) {
    if (!(await hasIdx(folder, split))) continue;
    const { data } = await readIdx(folder, `${PREFIX[split]}-labels-idx1-ubyte`, 1);
    for (const label of data) most = Math.max(most, label);
  }
  return Array.from({ length: most + 1 }, (_, i) => String(i));
}

const folderOf = async (source: FolderSource | Folder): Promise<Folder> =>
  typeof source === 'object' && 'list' in source ? source : openFolderSource(source);
