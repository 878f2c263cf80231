/** The cache of web pages, over the Cache API. */
import { IoError } from '../core/errors.js';
import type { Store } from './store.js';

/** Throws IoError where the browser gives this page no storage. */
export async function browserStore(): Promise<Store> {
  const { navigator } = globalThis;
  let cache: Cache;
  try {
    cache = await globalThis.caches.open('aim-js');
  } catch (error) {
    throw new IoError(
      'this page has no Cache API; serve it from https: or localhost, outside of a sandbox (or pass cache: false).',
      { cause: error },
    );
  }
  const prefix = 'https://aim-js.invalid/';
  return {
    name: "the browser's storage",
    async get(key) {
      const response = await cache.match(prefix + key);
      return response && new Uint8Array(await response.arrayBuffer());
    },
    put: (key, data) => cache.put(prefix + key, new Response(data as Uint8Array<ArrayBuffer>)),
    async delete(key) {
      await cache.delete(prefix + key);
    },
    keys: async () => (await cache.keys()).map(({ url }) => url.slice(prefix.length)),
    lock: (key) =>
      new Promise((resolve, reject) => {
        // Without locks two tabs may download the same file twice, under different generations.
        if (!navigator.locks) return resolve(async () => {});
        navigator.locks
          .request(`aim-js ${key}`, { ifAvailable: true }, (lock) =>
            lock ? new Promise<void>((release) => resolve(async () => release())) : resolve(undefined),
          )
          .catch(reject);
      }),
  };
}
