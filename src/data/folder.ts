/** A folder to read data from: on disk (Node, Deno) or the Files of one chosen or dropped in a browser. */
import { IoError, OptionError } from '../core/errors.js';
import { type ByteSource, blobSource } from '../io/bytes.js';
import { openFile } from '../io/file_source.js';
import { isDirectory, listEntries, modules } from '../platform/files.js';

export interface Folder {
  /** For messages. */
  readonly name: string;
  /** What is in it, or in the sub-folder `path`, sorted by name; hidden names are left out. */
  list(path?: string): Promise<{ name: string; folder: boolean }[]>;
  /** A file by its path inside, '/' between folders. */
  open(path: string): Promise<ByteSource>;
  /** Bytes of a file, 0 if they are not known. */
  size(path: string): Promise<number>;
}

/** A path, or File objects with webkitRelativePath (the first part of which is the folder itself). */
export type FolderSource = string | Iterable<File>;

/** Throws IoError if there is no such folder, OptionError for what is no source. */
export async function openFolderSource(source: FolderSource): Promise<Folder> {
  if (typeof source === 'string') {
    if (!(await isDirectory(source))) throw new IoError(`there is no folder ${source}; pass the path of one with images.`);
    return diskFolder(source);
  }
  if (typeof source === 'object' && source !== null && Symbol.iterator in source) return fileFolder([...source]);
  throw new OptionError('this is no data: pass the path of a folder, or the File objects of one.');
}

/** Names that systems leave in folders. */
const hidden = (name: string) => name.startsWith('.') || name === '__MACOSX' || name === 'Thumbs.db' || name === 'desktop.ini';

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

/** The folder in which `webkitRelativePath` places the files; files without such a path lie directly in it. */
export function fileFolder(list: readonly File[]): Folder {
  const wrong = list.find((f) => !(f instanceof Blob) || typeof f.name !== 'string');
  if (wrong !== undefined)
    throw new OptionError('a list given as data must hold File objects only; pass the files of its folder.');
  const files = new Map(list.map((f) => [f.webkitRelativePath.split('/').slice(1).join('/') || f.name, f]));
  const root = list[0]?.webkitRelativePath.split('/')[0] || 'the files given';
  return {
    name: root,
    async list(sub = '') {
      const found = new Map<string, boolean>();
      const start = sub && `${sub}/`;
      for (const path of files.keys()) {
        if (!path.startsWith(start)) continue;
        const [name, ...rest] = path.slice(start.length).split('/');
        if (!hidden(name!)) found.set(name!, rest.length > 0);
      }
      return [...found].map(([name, folder]) => ({ name, folder })).sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    async open(path) {
      const file = files.get(path);
      if (!file) throw new IoError(`there is no file ${path} in ${root}; choose the folder again.`);
      return blobSource(file, `${root}/${path}`);
    },
    size: async (path) => files.get(path)?.size ?? 0,
  };
}

/** A whole file of the folder. */
export async function readFile(folder: Folder, path: string): Promise<Uint8Array> {
  const source = await folder.open(path);
  try {
    return await source.read(0, source.size);
  } finally {
    await source.close();
  }
}
