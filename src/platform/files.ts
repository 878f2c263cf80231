/**
 * Local files in Node, Deno and Bun. The node: modules are imported when needed and by a computed name, so that bundlers for
 * the browser do not try to include them.
 */
import { IoError, OptionError } from '../core/errors.js';
import { withoutBom } from '../core/json.js';
import { hasFiles } from './runtime.js';

type Fs = typeof import('node:fs/promises');
type Handle = import('node:fs/promises').FileHandle;

/** Most bytes of one read or write call (Node's limit is 2 GiB). */
export const MAX_READ = 2 ** 30;

/** Age from which a temporary file outside of a locked folder counts as left by a process that was killed, ms. */
export const ABANDONED = 3_600_000;

/**
 * A UTF-8 text file without its byte order mark. Throws IoError naming the path: if it cannot be read, is no regular file, or
 * has more than `most` bytes.
 */
export async function readText(path: string, { most = Number.POSITIVE_INFINITY }: { most?: number } = {}): Promise<string> {
  const fs = await modules(path);
  // What the user names in /dev, such as a shell's <(…), is meant to be waited for.
  const size = /^\/(dev|proc\/self)\/fd\//.test(path) ? 0 : await assertRegularFile(path);
  if (size > most)
    throw new IoError(`${path} has ${size} bytes, more than the ${most} that such a file may have; check the path.`);
  const text = await translate(path, 'read', () => fs.readFile(path, 'utf8'));
  return withoutBom(text);
}

/**
 * Gives the size of a regular file. Throws IoError for anything else, before it is opened: opening a named pipe waits for a
 * writer, for ever perhaps.
 */
export async function assertRegularFile(path: string): Promise<number> {
  const fs = await modules(path);
  const info = await translate(path, 'read', () => fs.stat(path));
  if (info.isFile()) return info.size;
  if (info.isDirectory()) throw fileError(Object.assign(new Error('it is a folder'), { code: 'EISDIR' }), path, 'read');
  const what = info.isFIFO() ? 'a named pipe' : info.isSocket() ? 'a socket' : 'a device';
  throw new IoError(`${path} is ${what}, not a regular file; give the path of a file.`);
}

/** True if there is a file or folder at `path`. */
export async function exists(path: string): Promise<boolean> {
  return (await kind(path)) !== undefined;
}

/** True if `path` is a folder. */
export async function isDirectory(path: string): Promise<boolean> {
  return (await kind(path)) === 'folder';
}

/**
 * Creates a folder and its missing parents. Returns the path of the outermost one that was created, undefined if the folder was there.
 * Throws IoError naming the path.
 */
export async function makeFolder(path: string): Promise<string | undefined> {
  const fs = await modules(path);
  return translate(path, 'write', () => fs.mkdir(path, { recursive: true }));
}

/** The names in a folder, sorted. Throws IoError naming the path. */
export async function listFolder(path: string): Promise<string[]> {
  const fs = await modules(path);
  return (await translate(path, 'read', () => fs.readdir(path))).sort();
}

/** Entries of a folder, sorted by name. Links count as their targets, broken links as files. Throws IoError naming the path. */
export async function listEntries(path: string): Promise<{ name: string; folder: boolean }[]> {
  const fs = await modules(path);
  const entries = await translate(path, 'read', () => fs.readdir(path, { withFileTypes: true }));
  const out: { name: string; folder: boolean }[] = [];
  for (const e of entries)
    out.push({ name: e.name, folder: e.isSymbolicLink() ? await isDirectory(`${path}/${e.name}`) : e.isDirectory() });
  return out.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** `file` inside the folder `path`. */
export async function join(path: string, file: string): Promise<string> {
  return (await load<typeof import('node:path')>('path')).join(path, file);
}

/** The folder that holds `path`. */
export async function parent(path: string): Promise<string> {
  return (await load<typeof import('node:path')>('path')).dirname(path);
}

/** The last component of `path`. */
export async function base(path: string): Promise<string> {
  return (await load<typeof import('node:path')>('path')).basename(path);
}

/** The path of a file: URL. */
export async function urlPath(url: URL): Promise<string> {
  return (await load<typeof import('node:url')>('url')).fileURLToPath(url);
}

/**
 * Writes a file so that `path` holds either its old content or all of the new: into a temporary file beside it, flushed to
 * disk, then renamed. On failure or abort the temporary file is removed. Throws IoError with the remedy.
 */
export async function writeAtomic(
  path: string,
  data: Uint8Array | AsyncIterable<Uint8Array>,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  signal?.throwIfAborted();
  if (await isDirectory(path)) throw new IoError(`${path} is a folder, so no file can be written there; give a file name.`);
  const fs = await modules(path);
  const { name, handle } = await openTemporary(fs, path);
  try {
    await fill(handle, path, data, signal);
    await translate(path, 'write', () => fs.rename(name, path));
  } catch (error) {
    await fs.rm(name, { force: true });
    throw error;
  }
}

/**
 * Creates the file `path` with all of its text, or not at all if the process is killed; a crash can leave a temporary file, named
 * `….tmp`. False if the file exists. Throws IoError if it cannot be written.
 */
export async function createFile(path: string, text: string): Promise<boolean> {
  const fs = await modules(path);
  const isThere = (error: unknown) => (error as { code?: string }).code === 'EEXIST';
  const temporary = temporaryName(path);
  try {
    await translate(path, 'write', () => fs.writeFile(temporary, text, { flag: 'wx' }));
    await fs.link(temporary, path);
    return true;
  } catch (error) {
    if (error instanceof IoError) throw error;
    if (isThere(error)) return false;
  } finally {
    await fs.rm(temporary, { force: true });
  }
  // File systems without hard links (FAT, some network shares).
  try {
    await fs.writeFile(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if (isThere(error)) return false;
    throw fileError(error, path, 'write');
  }
}

/** Removes a folder; it is renamed first, so that nobody sees it half empty under its name. A missing folder is no error. */
export async function removeFolder(path: string): Promise<void> {
  const fs = await modules(path);
  const temporary = isTemporary(path) ? path : temporaryName(path);
  try {
    if (temporary !== path) await fs.rename(path, temporary);
    await fs.rm(temporary, { recursive: true, force: true });
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw fileError(error, path, 'write');
  }
}

/** True for the name of a temporary file or folder that writeAtomic, writeFolderAtomic or removeFolder left in a crash. */
export function isTemporary(name: string): boolean {
  return /\.\d+-[a-z\d]+\.tmp$/.test(name);
}

/**
 * Removes temporary files and folders in `folder` whose process has ended and which nobody has written to for `age` ms. Other
 * machines and containers, whose processes are not seen here, may write into the folder too: unless a lock keeps them away, only the
 * age tells what they left from what they are writing. `of`: only names that begin with this and a dot.
 */
export async function removeDeadTemporaries(
  folder: string,
  { of, age = 0 }: { of?: string | undefined; age?: number } = {},
): Promise<void> {
  if (!(await exists(folder))) return;
  const fs = await modules(folder);
  const now = Date.now();
  const processStart = now - globalThis.process.uptime() * 1000;
  for (const name of await listFolder(folder)) {
    if (!isTemporary(name) || (of !== undefined && !name.startsWith(`${of}.`))) continue;
    const written = await fs.stat(`${folder}/${name}`).then(
      ({ mtimeMs }) => mtimeMs,
      () => Number.POSITIVE_INFINITY,
    );
    const pid = Number(/\.(\d+)-[a-z\d]+\.tmp$/.exec(name)?.[1]);
    // Containers give every start the same process id, so a file older than this process is not its own.
    const alive = pid === globalThis.process.pid ? written >= processStart - 1000 : isRunning(pid);
    if (!alive && written <= now - age) await removeFolder(`${folder}/${name}`);
  }
}

/** True if this machine has a process with this id. */
export function isRunning(pid: number): boolean {
  try {
    globalThis.process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it belongs to another user.
    return (error as { code?: string }).code !== 'ESRCH';
  }
}

/** Flushes the entries of a folder to disk where the system can. */
export async function syncFolder(path: string): Promise<void> {
  const fs = await modules(path);
  try {
    const handle = await fs.open(path, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {
    // Windows and Deno cannot open folders; there the rename is as durable as the system makes it.
  }
}

/** A text file to which whole lines are appended. */
export interface LineFile {
  /** Throws IoError, for instance when the disk is full. */
  append(line: string): Promise<void>;
  close(): Promise<void>;
}

/** Opens a text file for appending and cuts it to its first `keep` bytes. Throws IoError naming the path. */
export async function openLines(path: string, keep: number): Promise<LineFile> {
  const fs = await modules(path);
  const handle = await translate(path, 'write', () => fs.open(path, 'a'));
  try {
    // By path: on Windows a file opened for appending cannot be truncated.
    await translate(path, 'write', () => fs.truncate(path, keep));
  } catch (error) {
    await handle.close();
    throw error;
  }
  return {
    append: (line) => translate(path, 'write', () => handle.appendFile(`${line}\n`)),
    close: () => handle.close(),
  };
}

/**
 * Throws IoError unless a file can be written at `path` (or inside it, if it is a folder). Leaves no file behind, and removes
 * temporaries that processes left there when they were killed, after ABANDONED ms. Call it before long work whose result goes there.
 */
export async function ensureWritable(path: string): Promise<void> {
  const fs = await modules(path);
  const inside = await isDirectory(path);
  const target = inside ? await join(path, 'check') : path;
  const { name, handle } = await openTemporary(fs, target, path);
  await handle.close();
  await fs.rm(name, { force: true });
  const age = ABANDONED;
  if (inside) await removeDeadTemporaries(path, { age });
  else await removeDeadTemporaries(await parent(path), { of: await base(path), age });
}

/** Writes all data, flushes it to disk and closes the handle. */
export async function fill(
  handle: Handle,
  path: string,
  data: Uint8Array | AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    for await (const chunk of data instanceof Uint8Array ? [data] : data) {
      signal?.throwIfAborted();
      for (let at = 0; at < chunk.length; ) {
        const left = Math.min(chunk.length - at, MAX_READ);
        at += (await translate(path, 'write', () => handle.write(chunk, at, left))).bytesWritten;
      }
    }
    signal?.throwIfAborted();
    await translate(path, 'write', () => handle.sync());
  } finally {
    await handle.close().catch(() => {});
  }
}

/** Random, because process ids are reused: a file left by a crash must not be in the way. */
export function temporaryName(target: string): string {
  // Beside a folder that is written with a separator at its end, not inside it.
  const path = target.replace(process.platform === 'win32' ? /(?<=[^\\/])[\\/]+$/ : /(?<=[^/])\/+$/, '');
  return `${path}.${process.pid}-${Math.random().toString(36).slice(2, 12)}.tmp`;
}

async function openTemporary(fs: Fs, target: string, shown = target): Promise<{ name: string; handle: Handle }> {
  const name = temporaryName(target);
  return { name, handle: await translate(shown, 'write', () => fs.open(name, 'wx')) };
}

async function kind(path: string): Promise<'folder' | 'file' | undefined> {
  const fs = await modules(path);
  try {
    return (await fs.stat(path)).isDirectory() ? 'folder' : 'file';
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw fileError(error, path, 'read');
  }
}

function load<T>(name: string): Promise<T> {
  return import(/* @vite-ignore */ /* webpackIgnore: true */ `node:${name}`);
}

export async function modules(path: string): Promise<Fs> {
  if (!hasFiles())
    throw new OptionError(`${path} is a file path, and a browser cannot open paths; pass an http(s) URL, or File objects.`);
  return load<Fs>('fs/promises');
}

export async function translate<T>(path: string, action: 'read' | 'write', work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof IoError) throw error;
    throw fileError(error, path, action);
  }
}

/** An IoError that explains a file system error and says what to do. */
export function fileError(error: unknown, path: string, action: 'read' | 'write'): IoError {
  const { code, message, name } = error as Error & { code?: string };
  const words: Record<string, string> = {
    ENOENT:
      action === 'read'
        ? `there is no folder or file ${path}; pass the path of one that exists.`
        : `${path} cannot be written: its folder does not exist; create the folder first.`,
    ENOTDIR: `${path}: a part of this path is a file, not a folder; correct the path.`,
    EACCES: `${path} may not be ${action === 'read' ? 'read' : 'written'}: permission denied; change its permissions or ${
      action === 'read' ? 'copy it' : 'choose another place'
    }.`,
    EISDIR: `${path} is a folder, not a file; give the path of a file.`,
    ENOSPC: `${path} cannot be written: the disk is full; free some space or choose another disk.`,
    EDQUOT: `${path} cannot be written: your disk quota is used up; free some space or choose another disk.`,
    EROFS: `${path} cannot be written: it is on a read-only file system; choose another place.`,
    ENAMETOOLONG: `${path}: this name is too long for the file system; choose a shorter one.`,
    EFBIG: `${path} cannot be written: it grows beyond the file size allowed here; raise the limit (ulimit -f) or choose another disk.`,
    EMFILE: `${path} cannot be opened: this process has too many files open; close some (dispose of unused models).`,
  };
  words.EPERM = words.EACCES!;
  const deno = name === 'NotCapable' || name === 'PermissionDenied';
  const text = deno
    ? `${path} may not be ${action === 'read' ? 'read' : 'written'} by this Deno process; run it with --allow-${action}.`
    : (words[code ?? ''] ??
      `${path} cannot be ${action === 'read' ? 'read' : 'written'}: ${message}; check the disk and try again.`);
  return new IoError(text, { cause: error });
}
