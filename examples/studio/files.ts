/** What visitors give: dropped folders, chosen ones, zip files. All become files with their paths. */

/** A File and its path, the folder's own name first; a File of a dropped folder does not know its path itself. */
export type PathFile = readonly [path: string, file: File];

/** Of an `<input type=file>`, with or without `webkitdirectory`. */
export const chosen = (input: HTMLInputElement): PathFile[] =>
  [...(input.files ?? [])].map((file) => [file.webkitRelativePath || file.name, file]);

/** Everything dropped, folders searched. */
export async function dropped(transfer: DataTransfer): Promise<PathFile[]> {
  // The list is empty after the first await.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter((e) => e !== null);
  return (await Promise.all(entries.map(inside))).flat();
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

export const isZip = (files: readonly PathFile[]): boolean => files.some(([path]) => /\.zip$/i.test(path));

/** Whether these are a checkpoint (a zip is taken for one) rather than images. */
export const isCheckpoint = (files: readonly PathFile[]): boolean =>
  isZip(files) || files.some(([path]) => base(path) === 'config.json');

/** The Files with the paths that `openData` and `fromPretrained` go by. */
export const withPaths = (files: readonly PathFile[]): File[] =>
  files.map(([path, file]) => Object.defineProperty(file, 'webkitRelativePath', { value: path }));

export const nameOf = (files: readonly PathFile[]): string => files[0]?.[0].split('/')[0] ?? '';
