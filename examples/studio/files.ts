/** Files from the visitor: dropped, chosen or in a zip. Each is a File with its path. */
import type { UnzipFileInfo, Unzipped } from 'fflate';

/** A path, beginning with the name of the folder, and its File. The Files of a dropped folder do not have their paths themselves. */
export type PathFile = readonly [path: string, file: File];

/** The files of an `<input type=file>`, with or without `webkitdirectory`. */
export const chosen = (input: HTMLInputElement): PathFile[] =>
  [...(input.files ?? [])].map((file) => [file.webkitRelativePath || file.name, file]);

/** All dropped files, including those inside dropped folders. */
export async function dropped(transfer: DataTransfer): Promise<PathFile[]> {
  // Start reading all items at once: the list is empty after the first await.
  const found = [...transfer.items].map((item): PathFile[] | Promise<PathFile[]> => {
    const [entry, file] = [item.webkitGetAsEntry(), item.getAsFile()];
    // Files that a script put into the drop have no entry.
    return entry ? inside(entry) : file ? [[file.name, file]] : [];
  });
  return (await Promise.all(found)).flat();
}

async function inside(entry: FileSystemEntry): Promise<PathFile[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [[entry.fullPath.replace(/^\//, ''), file]];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: FileSystemEntry[] = [];
  // A reader returns some entries per call, and none at the end.
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) break;
    found.push(...some);
  }
  return (await Promise.all(found.map(inside))).flat();
}

const base = (path: string) => path.split('/').at(-1)!;

const ZIP = /\.zip$/i;
const PICTURE = /\.(png|jpe?g|webp|bmp|gif|avif)$/i;
/** IDX files such as train-images-idx3-ubyte.gz, and the codes of `aim tokenize`. */
const DATA_FILE = /-idx[13]-ubyte(\.gz)?$|\.safetensors$/i;

export const isCheckpoint = (files: readonly PathFile[]): boolean =>
  files.some(([path]) => ZIP.test(path) || base(path) === 'config.json');

export const pictures = (files: readonly PathFile[]): File[] =>
  files.filter(([path]) => PICTURE.test(path)).map(([, file]) => file);

/**
 * What files are, by their names: a checkpoint (a zip is assumed to hold one), data to train on (a folder of pictures, IDX files or
 * codes), single pictures without a folder, or something that the studio cannot use.
 */
export function kindOf(files: readonly PathFile[]): 'checkpoint' | 'data' | 'pictures' | 'unknown' {
  if (isCheckpoint(files)) return 'checkpoint';
  if (files.some(([path]) => DATA_FILE.test(path) || (path.includes('/') && PICTURE.test(path)))) return 'data';
  return files.some(([path]) => PICTURE.test(path)) ? 'pictures' : 'unknown';
}

/**
 * A zip may unpack to this many times its own size, or to MIN_UNPACKED bytes if that is more. Weights hardly shrink in a zip, so
 * only a zip that was made to fill the memory is refused.
 */
const MAX_RATIO = 20;
const MIN_UNPACKED = 64 * 2 ** 20;

/** Returns the files of a zip if there is one among `files`, else `files`. Throws Error for a zip that is damaged or too large. */
export async function unpacked(files: PathFile[]): Promise<PathFile[]> {
  const zip = files.find(([path]) => ZIP.test(path))?.[1];
  if (!zip) return files;
  let entries: Unzipped;
  try {
    entries = await unzipped(zip);
  } catch (error) {
    throw new Error(`${zip.name} cannot be unpacked (${(error as Error).message}); download or zip it again.`, { cause: error });
  }
  return Object.entries(entries)
    .filter(([path]) => !path.endsWith('/'))
    .map(([path, bytes]) => {
      // Paths begin with the name of a folder. Files at the top of a zip get the name of the zip.
      const full = path.includes('/') ? path : `${zip.name.replace(ZIP, '')}/${path}`;
      return [full, new File([bytes as Uint8Array<ArrayBuffer>], base(path))];
    });
}

async function unzipped(zip: File): Promise<Unzipped> {
  const { unzip } = await import('fflate');
  const bytes = new Uint8Array(await zip.arrayBuffer());
  const pass = (filter: (file: UnzipFileInfo) => boolean) =>
    new Promise<Unzipped>((resolve, reject) => unzip(bytes, { filter }, (error, all) => (error ? reject(error) : resolve(all))));
  // The first pass only adds up the sizes. fflate never writes more bytes than the size that the directory of the zip gives.
  let size = 0;
  await pass(({ originalSize }) => {
    size += originalSize;
    return false;
  });
  if (size > Math.max(MIN_UNPACKED, MAX_RATIO * zip.size))
    throw new Error(`its ${megabytes(zip.size)} would become ${megabytes(size)}, which no checkpoint does`);
  return pass(() => true);
}

const megabytes = (n: number) => `${(n / 1e6).toFixed(n < 1e7 ? 1 : 0)} MB`;

/** The Files with their paths as `openData` and `fromPretrained` read them. */
export const withPaths = (files: readonly PathFile[]): File[] =>
  files.map(([path, file]) => Object.defineProperty(file, 'webkitRelativePath', { value: path, configurable: true }));

/** The name of the folder, or of the first file. */
export const nameOf = (files: readonly PathFile[]): string => files[0]?.[0].split('/')[0] ?? '';
