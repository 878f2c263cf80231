/** Folders to read data from: on disk (Node, Deno), or as Files that a user chose or dropped in a browser. */
import { IoError, OptionError } from '../core/errors.js';
import { type ByteSource, blobSource } from '../io/bytes.js';
import { openFile } from '../io/file_source.js';
import { isDirectory, listEntries, modules } from '../platform/files.js';

/** A folder that can be listed and read. */
export interface Folder {
  /** Path or name, for messages. */
  readonly name: string;
  /** The entries of the folder, or of its sub-folder `path`, sorted by name. Hidden names are left out. */
  list(path?: string): Promise<{ name: string; folder: boolean }[]>;
  /** Opens the file at a path relative to the folder, with '/' as separator. Throws IoError if it does not exist. */
  open(path: string): Promise<ByteSource>;
  /** Bytes of a file, 0 if they are not known. */
  size(path: string): Promise<number>;
}

/** A path, or File objects with webkitRelativePath, whose first component is the folder itself. */
export type FolderSource = string | Iterable<File>;

/** Opens a folder. Throws IoError if it does not exist, OptionError for a value of another kind. */
export async function openFolderSource(source: FolderSource): Promise<Folder> {
  if (typeof source === 'string') {
    if (!(await isDirectory(source))) throw new IoError(`there is no folder ${source}; pass the path of one with images.`);
    return diskFolder(source);
  }
  if (typeof source === 'object' && source !== null && Symbol.iterator in source) return fileFolder([...source]);
  throw new OptionError('this is no data: pass the path of a folder, or the File objects of one.');
}

/** True for hidden files and for files that operating systems create in folders. */
const hidden = (name: string) => name.startsWith('.') || name === '__MACOSX' || name === 'Thumbs.db' || name === 'desktop.ini';

/** A folder on disk. */
export function diskFolder(path: string): Folder {
  const root = path.replace(/[/\\]+$/, '') || path;
  return {
    name: root,
    list: async (sub) => (await listEntries(sub ? `${root}/${sub}` : root)).filter((e) => !hidden(e.name)),
    open: (file) => openFile(`${root}/${file}`),
    async size(file) {
      const fs = await modules(root);
      return fs.stat(`${root}/${file}`).then(
        (info) => info.size,
        () => 0,
      );
    },
  };
}

/** The folder whose files are in the list, by their `webkitRelativePath`. Files without one are directly in the folder. */
export function fileFolder(list: readonly File[]): Folder {
  const wrong = list.find((f) => !(f instanceof Blob) || typeof f.name !== 'string');
  if (wrong !== undefined)
    throw new OptionError('a list given as data must hold File objects only; pass the files of its folder.');
  const files = new Map(list.map((f) => [f.webkitRelativePath.split('/').slice(1).join('/') || f.name, f]));
  const root = list[0]?.webkitRelativePath.split('/')[0] || 'the files given';
  const entries = listing(files.keys());
  return {
    name: root,
    list: async (sub) => entries(sub),
    async open(path) {
      const file = files.get(path);
      if (!file) throw new IoError(`there is no file ${path} in ${root}; choose the folder again.`);
      return blobSource(file, `${root}/${path}`);
    },
    size: async (path) => files.get(path)?.size ?? 0,
  };
}

/** A path that another program wrote, as `Folder` takes it: separated by '/', also where that program is one for Windows. */
export const folderPath = (written: string): string => written.replaceAll('\\', '/').replace(/^(\.\/)+/, '');

/** `Folder.list` where only the paths of the files are known. The name of a folder may end with '/'. */
export function listing(paths: Iterable<string>): (folder?: string) => { name: string; folder: boolean }[] {
  const folders = new Map<string, Map<string, boolean>>();
  for (const path of paths) {
    const parts = path.split('/');
    let at = '';
    for (const [i, name] of parts.entries()) {
      if (hidden(name)) break;
      const entries = folders.get(at) ?? new Map<string, boolean>();
      folders.set(at, entries);
      entries.set(name, i < parts.length - 1 || entries.get(name) === true);
      at += `${name}/`;
    }
  }
  return (folder = '') => {
    const entries = folders.get(folder && !folder.endsWith('/') ? `${folder}/` : folder) ?? [];
    return [...entries].map(([name, folder]) => ({ name, folder })).sort((a, b) => (a.name < b.name ? -1 : 1));
  };
}

/** Reads a whole file of a folder. Throws IoError. */
export async function readFile(folder: Folder, path: string): Promise<Uint8Array> {
  const source = await folder.open(path);
  try {
    return await source.read(0, source.size);
  } finally {
    await source.close();
  }
}
