/** What visitors give: dropped folders, chosen ones, zip files. All become files with their paths. */
import type { Unzipped } from 'fflate';

/** A File and its path, the folder's own name first; a File of a dropped folder does not know its path itself. */
export type PathFile = readonly [path: string, file: File];

/** Of an `<input type=file>`, with or without `webkitdirectory`. */
export const chosen = (input: HTMLInputElement): PathFile[] =>
  [...(input.files ?? [])].map((file) => [file.webkitRelativePath || file.name, file]);

/** Everything dropped, folders searched. */
export async function dropped(transfer: DataTransfer): Promise<PathFile[]> {
  // The list is empty after the first await.
  const found = [...transfer.items].map((item): PathFile[] | Promise<PathFile[]> => {
    const [entry, file] = [item.webkitGetAsEntry(), item.getAsFile()];
    // Files that another page put there have no entry.
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
  // A reader gives its entries in parts, an empty one last.
  for (;;) {
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (part.length === 0) break;
    found.push(...part);
  }
  return (await Promise.all(found.map(inside))).flat();
}

const base = (path: string) => path.split('/').at(-1)!;

const ZIP = /\.zip$/i;

/** Whether these are a checkpoint (a zip is taken for one) rather than images. */
export const isCheckpoint = (files: readonly PathFile[]): boolean =>
  files.some(([path]) => ZIP.test(path) || base(path) === 'config.json');

/** The files of a zip, where one is given in place of a folder. */
export async function unpacked(files: PathFile[]): Promise<PathFile[]> {
  const zip = files.find(([path]) => ZIP.test(path))?.[1];
  if (!zip) return files;
  let entries: Unzipped;
  try {
    const { unzip } = await import('fflate');
    const bytes = new Uint8Array(await zip.arrayBuffer());
    entries = await new Promise((resolve, reject) => unzip(bytes, (error, all) => (error ? reject(error) : resolve(all))));
  } catch (error) {
    throw new Error(`${zip.name} cannot be unpacked (${(error as Error).message}); download or zip it again.`, { cause: error });
  }
  return Object.entries(entries)
    .filter(([path]) => !path.endsWith('/'))
    .map(([path, bytes]) => {
      // A folder's own name comes first; a zip may do without one.
      const full = path.includes('/') ? path : `${zip.name.replace(ZIP, '')}/${path}`;
      return [full, new File([bytes as Uint8Array<ArrayBuffer>], base(path))];
    });
}

/** The Files with the paths that `openData` and `fromPretrained` go by. */
export const withPaths = (files: readonly PathFile[]): File[] =>
  files.map(([path, file]) => Object.defineProperty(file, 'webkitRelativePath', { value: path }));

export const nameOf = (files: readonly PathFile[]): string => files[0]?.[0].split('/')[0] ?? '';
