/** The model cache of Node and Deno: a folder. */
import { OptionError } from '../core/errors.js';
import * as files from '../platform/files.js';
import { environment, importOptional } from '../platform/runtime.js';
import type { Store } from './store.js';

/** A lock is renewed this often; one not renewed for STALE was left by a process that ended. Both in ms. */
const RENEW = 3_000;
const STALE = 15_000;
const LOCK = '.lock';

/**
 * The store in `folder`; by default AIM_CACHE, else `aim-js` in the user's cache folder: XDG_CACHE_HOME or ~/.cache,
 * ~/Library/Caches on macOS, %LOCALAPPDATA% on Windows. It is made when something is put there.
 */
export async function folderStore(folder: string | undefined): Promise<Store> {
  if (folder === '') throw new OptionError('cacheDir is empty; give a folder, or leave it out.');
  const path = folder ?? environment('AIM_CACHE') ?? (await defaultFolder());
  const fs = await importOptional<typeof import('node:fs/promises')>('node:fs/promises');
  const at = (key: string) => files.join(path, key);
  return {
    name: path,
    async get(key) {
      const file = await at(key);
      return (await files.exists(file)) ? new Uint8Array(await fs.readFile(file)) : undefined;
    },
    async put(key, data) {
      await files.makeFolder(path);
      await files.writeAtomic(await at(key), data);
    },
    delete: async (key) => fs.rm(await at(key), { force: true }),
    keys: async () => ((await files.exists(path)) ? (await files.listFolder(path)).filter((name) => !name.endsWith(LOCK)) : []),
    async lock(key) {
      await files.makeFolder(path);
      return lockFile(fs, await at(key + LOCK));
    },
  };
}

/** Takes a lock by making a file that must not exist. Losing it to a pause of this process costs a second download, no more. */
async function lockFile(fs: typeof import('node:fs/promises'), path: string): Promise<(() => Promise<void>) | undefined> {
  try {
    const { mtimeMs } = await fs.stat(path);
    if (Date.now() - mtimeMs < STALE) return undefined;
    await fs.rm(path, { force: true });
  } catch {
    // There is no lock, or no more.
  }
  try {
    await (await fs.open(path, 'wx')).close();
  } catch (error) {
    if ((error as { code?: string }).code === 'EEXIST') return undefined;
    throw files.fileError(error, path, 'write');
  }
  const timer = setInterval(() => {
    const now = new Date();
    fs.utimes(path, now, now).catch(() => {});
  }, RENEW);
  timer.unref?.();
  return async () => {
    clearInterval(timer);
    await fs.rm(path, { force: true }).catch(() => {});
  };
}

async function defaultFolder(): Promise<string> {
  const { homedir } = await importOptional<typeof import('node:os')>('node:os');
  const { platform } = globalThis.process;
  const inHome = (folder: string) => files.join(homedir(), folder);
  const base =
    platform === 'win32'
      ? (environment('LOCALAPPDATA') ?? (await inHome('AppData/Local')))
      : platform === 'darwin'
        ? await inHome('Library/Caches')
        : (environment('XDG_CACHE_HOME') ?? (await inHome('.cache')));
  return files.join(base, 'aim-js');
}
