/** The cache of downloaded models, for its owner. */
import type { CachedFile, CacheOptions } from '../cache/entry.js';
import { downloads } from './folder.js';

export type { CachedFile, CacheOptions } from '../cache/entry.js';

/**
 * What the cache holds, downloads that were cut included: that of the page's origin, or (Node, Deno) of `cacheDir`. Throws
 * IoError where there is no cache.
 */
export async function cachedFiles(options: CacheOptions = {}): Promise<CachedFile[]> {
  return (await downloads()).cachedFiles(options);
}

/** Removes what `cachedFiles` of the same options lists. Models already loaded stay as they are. Throws IoError like it. */
export async function clearCache(options: CacheOptions = {}): Promise<void> {
  return (await downloads()).clearCache(options);
}
