/** Listing and clearing the cache of downloaded models. */
import type { CachedFile, CacheOptions } from '../cache/entry.js';
import { downloads } from './folder.js';

export type { CachedFile, CacheOptions } from '../cache/entry.js';

/**
 * Lists the files in the cache, interrupted downloads included: the cache of the page's origin, or (Node, Deno) of `cacheDir`.
 * Throws IoError where there is no cache.
 */
export async function cachedFiles(options: CacheOptions = {}): Promise<CachedFile[]> {
  return (await downloads()).cachedFiles(options);
}

/**
 * Removes the files that `cachedFiles` lists for the same options. Models that are loaded keep working. Throws IoError where
 * there is no cache.
 */
export async function clearCache(options: CacheOptions = {}): Promise<void> {
  return (await downloads()).clearCache(options);
}
