/** The cache of Node, Deno and Bun: a folder with one file per key. */
import { OptionError } from '../core/errors.js';
import * as files from '../platform/files.js';
import { environment, importOptional } from '../platform/runtime.js';
import { takeLock } from './lock_file.js';
import type { Store } from './store.js';

const LOCK = '.lock';

/**
 * The store in `folder`. Default: AIM_CACHE, else `aim-js` in the user's cache folder: XDG_CACHE_HOME or ~/.cache,
 * ~/Library/Caches on macOS, %LOCALAPPDATA% on Windows. The folder is created by the first write.
 */
export async function folderStore(folder: string | undefined): Promise<Store> {
  if (folder === '') throw new OptionError('cacheDir is empty; give a folder, or leave it out.');
  const path = folder ?? environment('AIM_CACHE') ?? (await defaultFolder());
  const fs = await importOptional<typeof import('node:fs/promises')>('node:fs/promises');
  const at = (key: string) => files.join(path, key);
  let cleaned = false;
  return {
    name: path,
    async get(key) {
      const file = await at(key);
      return (await files.exists(file)) ? new Uint8Array(await fs.readFile(file)) : undefined;
    },
    async put(key, data) {
      await files.makeFolder(path);
      if (!cleaned) await files.removeDeadTemporaries(path, { age: files.ABANDONED });
      cleaned = true;
      await files.writeAtomic(await at(key), data);
    },
    delete: async (key) => fs.rm(await at(key), { force: true }),
    keys: async () => ((await files.exists(path)) ? (await files.listFolder(path)).filter((name) => !name.endsWith(LOCK)) : []),
    async lock(key) {
      await files.makeFolder(path);
      return takeLock(await at(key + LOCK));
    },
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
