/** Writes whole folders of files so that a crash leaves no part of them. Apart from files.ts, because a page that draws never does. */
import {
  ensureWritable,
  exists,
  fill,
  makeFolder,
  modules,
  parent,
  removeDeadTemporaries,
  syncFolder,
  temporaryName,
  translate,
} from './files.js';
import { importOptional } from './runtime.js';

/** A file to write. */
export interface OutFile {
  name: string;
  data: Uint8Array | AsyncIterable<Uint8Array>;
}

interface Options {
  signal?: AbortSignal | undefined;
}

/**
 * Creates the folder `path`, which must not exist, completely or not at all: its files are written into a temporary folder
 * beside it and flushed to disk, then that folder is renamed. On failure or abort the temporary folder is removed; a crash
 * leaves it behind, named `….tmp`. Throws IoError with the remedy.
 */
export async function writeFolderAtomic(path: string, files: Iterable<OutFile>, { signal }: Options = {}): Promise<void> {
  signal?.throwIfAborted();
  const fs = await modules(path);
  const temporary = temporaryName(path);
  try {
    await translate(path, 'write', () => fs.mkdir(temporary));
    for (const { name, data } of files) {
      const handle = await translate(path, 'write', () => fs.open(`${temporary}/${name}`, 'wx'));
      await fill(handle, `${path}/${name}`, data, signal);
    }
    await syncFolder(temporary);
    await translate(path, 'write', () => fs.rename(temporary, path));
  } catch (error) {
    await fs.rm(temporary, { recursive: true, force: true });
    throw error;
  }
  await syncFolder(await parent(path));
}

/**
 * Puts files into the folder `path`. If it does not exist, it appears as a whole; else its files of these names are replaced once all
 * of them are complete, and those named in `remove` are removed. A crash leaves at most a temporary folder, named `….tmp`. Throws
 * IoError with the remedy.
 */
export async function putFiles(
  path: string,
  files: readonly OutFile[],
  { signal, remove = [] }: Options & { remove?: readonly string[] } = {},
): Promise<void> {
  const fs = await modules(path);
  await makeFolder(await parent(path));
  await ensureWritable(path);
  if (!(await exists(path))) return writeFolderAtomic(path, files, { signal });
  await removeDeadTemporaries(path);
  const stage = temporaryName(`${path}/files`);
  try {
    await writeFolderAtomic(stage, files, { signal });
    for (const { name } of files)
      await translate(`${path}/${name}`, 'write', () => fs.rename(`${stage}/${name}`, `${path}/${name}`));
    for (const name of remove) await fs.rm(`${path}/${name}`, { force: true });
  } finally {
    await fs.rm(stage, { recursive: true, force: true });
  }
}

/**
 * Creates a folder with its missing parents and runs `work`. If that fails, those created here that are still empty are removed.
 * Throws IoError naming the path, and what `work` throws.
 */
export async function inFolder<R>(path: string, work: () => Promise<R>): Promise<R> {
  const outermost = await makeFolder(path);
  try {
    return await work();
  } catch (error) {
    if (outermost !== undefined) await removeEmpty(path, outermost);
    throw error;
  }
}

/** Removes the folder, and those around it up to `outermost`, as far as they are empty. */
async function removeEmpty(path: string, outermost: string): Promise<void> {
  const fs = await modules(path);
  const { resolve, dirname } = await importOptional<typeof import('node:path')>('node:path');
  for (let at = resolve(path); at.length >= resolve(outermost).length; at = dirname(at)) {
    try {
      await fs.rmdir(at);
    } catch {
      // It is not empty, so that those around it are not either.
      return;
    }
  }
}
