/** Opens data of any supported kind, which it recognises by content. */
import { IoError, OptionError } from '../core/errors.js';
import { checkOptions, type OptionTable } from '../core/options.js';
import { formatOfName, prepareFormats, readableFormats } from '../io/images/index.js';
import { exists, isDirectory } from '../platform/files.js';
import { hasFiles } from '../platform/runtime.js';
import { type Codes, readCodes } from './codes.js';
import type { ImageSplits } from './dataset.js';
import { type FolderSource, openFolderSource } from './folder.js';
import { hasIdx, openIdxSplits } from './idx.js';
import { IMAGE_FOLDER, type ImageFolderOptions, openFolder } from './image_folder.js';
import { isZip, openZipFolder } from './zip_folder.js';

/** Options of `openData`. */
export interface DataOptions extends ImageFolderOptions {
  /** Class names, for IDX files only. Class folders are named by themselves. */
  classes?: readonly string[] | undefined;
  /** Aborts the opening. */
  signal?: AbortSignal | undefined;
}

export const DATA = {
  ...IMAGE_FOLDER,
  classes: { type: 'strings', about: 'IDX files alone: names of the classes' },
  signal: { type: 'signal', about: 'stops the opening' },
} as const satisfies OptionTable<DataOptions>;

/** Opened data: images in two splits, or codes. */
export type Data = ({ kind: 'idx' | 'folder' } & ImageSplits) | { kind: 'codes'; codes: Codes };

const kinds = () =>
  `data is a folder with IDX files (train-images-idx3-ubyte[.gz] …), a folder with one sub-folder of ${readableFormats()} images ` +
  'per class (or with these in its folders train and val), a .zip of one of these, or a codes .safetensors file of `aim tokenize`';

/**
 * Opens data. The source is the path of a folder, zip archive or codes file (Node, Deno), or the File objects of a folder, or that of an
 * archive or codes file alone. An archive is read like the folder that it holds; its pictures are unpacked one by one in memory.
 * Throws IoError if it is none of these, for an archive that is damaged, encrypted or has names that lead out of it, and like the
 * function that opens the kind of data.
 */
export async function openData(source: FolderSource, given: DataOptions): Promise<Data> {
  const { classes, signal, ...options } = checkOptions<DataOptions, typeof DATA>('openData', given, DATA);
  signal?.throwIfAborted();
  await prepareFormats();
  const file = await fileOf(source);
  const { labels } = options;
  const noLabels = (what: string) => {
    if (labels !== undefined)
      throw new OptionError(`labels is a table of pictures, but ${what} has its labels itself; leave it out.`);
  };
  if (file && CODES.test(nameOf(file))) {
    noLabels('a codes file');
    return { kind: 'codes', codes: await readCodes(file, { signal }) };
  }
  const folder = file ? await openZipFolder(file, { flat: labels !== undefined, signal }) : await openFolderSource(source);
  if (await hasIdx(folder)) {
    noLabels('a folder of IDX files');
    return { kind: 'idx', ...(await openIdxSplits(folder, { size: options.size, classes })) };
  }
  const entries = await folder.list();
  if (!entries.some((e) => e.folder || formatOfName(e.name)))
    throw new IoError(
      `${folder.name} holds ${
        entries.length
          ? entries
              .slice(0, 5)
              .map((e) => e.name)
              .join(', ')
          : 'nothing'
      }; ${kinds()}.`,
    );
  if (classes)
    throw new OptionError('classes names those of IDX files; here the sub-folders or labels name them: rename those instead.');
  // Whether a share was asked for matters in folders that have their held-out images apart.
  return { kind: 'folder', ...(await openFolder(folder, { ...options, holdout: given.holdout }, signal)) };
}

const CODES = /\.safetensors$/i;

const nameOf = (file: string | File) => (typeof file === 'string' ? file : file.name);

/** The codes file or the archive that the source is; undefined for a folder. */
async function fileOf(source: FolderSource): Promise<string | File | undefined> {
  const known = (file: string | File) => CODES.test(nameOf(file)) || isZip(nameOf(file));
  if (typeof source !== 'string') {
    const files = typeof source === 'object' && source !== null && Symbol.iterator in source ? [...source] : [];
    return files.length === 1 && known(files[0]!) ? files[0] : undefined;
  }
  if (!hasFiles()) throw new OptionError(`${source} is a path, which a browser cannot open; pass File objects.`);
  if (await isDirectory(source)) return undefined;
  if (!(await exists(source))) throw new IoError(`there is no file or folder ${source}; ${kinds()}.`);
  if (!known(source)) throw new IoError(`${source} is a file of another kind; ${kinds()}.`);
  return source;
}
