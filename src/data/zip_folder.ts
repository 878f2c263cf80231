/** A zip archive as a folder of data. Nothing is unpacked to disk: each file is unpacked in memory when it is read. */
import { CheckpointError, IoError } from '../core/errors.js';
import { type ByteSource, blobSource, bytesSource } from '../io/bytes.js';
import { openFile } from '../io/file_source.js';
import { formatOfName } from '../io/images/index.js';
import { readEntry, readZip, type ZipEntry } from '../io/zip.js';
import { type Folder, folderPath, listing } from './folder.js';

/** Largest file that is unpacked: more than a picture or an IDX file of a usual data set has, and little for each of 16 at a time. */
const MAX_ENTRY = 2 ** 26;

/** True for the name of a zip archive. */
export const isZip = (name: string): boolean => /\.zip$/i.test(name);

/**
 * Opens an archive. If it holds one folder, as archives made of a folder do, that folder is its content, unless its images are directly
 * in it; these are of one class, whose name the folder is, or without classes if `flat`. Throws IoError for an archive that is damaged,
 * encrypted or has names that lead out of it. Later, `open` throws IoError for a file that is damaged or unpacks to more than 64 MiB.
 */
export async function openZipFolder(archive: string | Blob, { flat = false, signal }: Options = {}): Promise<Folder> {
  const name = typeof archive === 'string' ? archive : (archive as File).name || 'the zip archive';
  const files = new Map<string, ZipEntry>();
  const read = <R>(work: (source: ByteSource) => Promise<R>) => using(archive, name, work);
  for (const entry of (await read((source) => readZip(source, signal))).values()) {
    const path = folderPath(entry.name);
    if (path.endsWith('/')) continue;
    if (/^[a-z]:\//i.test(path) || path.split('/').some((part) => part === '' || part === '.' || part === '..'))
      throw new IoError(
        `${name} has an entry ${JSON.stringify(path.slice(0, 120))} that is no path inside of it; zip the folder again.`,
      );
    files.set(path, entry);
  }
  const list = listing(files.keys());
  let root = '';
  for (;;) {
    const [only, ...others] = list(root);
    if (!only?.folder || others.length > 0) break;
    const inside = list(`${root}${only.name}`);
    if (!flat && !inside.some((e) => e.folder) && inside.some((e) => formatOfName(e.name))) break;
    root = `${root}${only.name}/`;
  }
  return {
    name: root ? `${name}/${root.slice(0, -1)}` : name,
    list: async (path = '') => list(root + path),
    async open(path) {
      const entry = files.get(root + path);
      if (!entry) throw new IoError(`there is no file ${path} in ${name}.`);
      return bytesSource(await read((source) => readEntry(source, entry, MAX_ENTRY)), `${name}/${root}${path}`);
    },
    size: async (path) => files.get(root + path)?.size ?? 0,
  };
}

interface Options {
  /** True where the names of folders are no classes. */
  flat?: boolean;
  signal?: AbortSignal | undefined;
}

/** Opens the archive for `work` alone, so that no file stays open as long as its data set is used. */
async function using<R>(archive: string | Blob, name: string, work: (source: ByteSource) => Promise<R>): Promise<R> {
  const source = typeof archive === 'string' ? await openFile(archive) : blobSource(archive, name);
  try {
    return await work(source);
  } catch (error) {
    throw error instanceof CheckpointError ? new IoError(error.message, { cause: error }) : error;
  } finally {
    await source.close();
  }
}
