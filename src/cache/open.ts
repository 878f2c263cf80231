/** Opens the cache: a folder in Node, Deno and Bun, the Cache API in browsers. */
import { AimError, IoError } from '../core/errors.js';
import type { RemoteOptions } from '../io/bytes.js';
import { hasFiles } from '../platform/runtime.js';
import { browserStore } from './browser.js';
import { folderStore } from './folder.js';
import { type Store, StoreError } from './store.js';

/** The cache for these options; undefined if they switch it off. Throws StoreError where there is no storage. */
export async function openStore(options: RemoteOptions): Promise<Store | undefined> {
  return options.cache === false ? undefined : findStore(options);
}

/** The cache, also where `cache: false` is given. All failures of its methods are StoreErrors. */
export async function findStore({ cacheDir }: Pick<RemoteOptions, 'cacheDir'>): Promise<Store> {
  const guard = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      if (error instanceof AimError && !(error instanceof IoError)) throw error;
      const full = (error as Error).name === 'QuotaExceededError';
      throw new StoreError(full ? `${name} is full; free some with clearCache().` : (error as Error).message, { cause: error });
    }
  };
  const store = await guard('', () => (hasFiles() ? folderStore(cacheDir) : browserStore()));
  const { name } = store;
  return {
    name,
    get: (key) => guard(name, () => store.get(key)),
    put: (key, data) => guard(name, () => store.put(key, data)),
    delete: (key) => guard(name, () => store.delete(key)),
    keys: () => guard(name, () => store.keys()),
    lock: (key) => guard(name, () => store.lock(key)),
  };
}
