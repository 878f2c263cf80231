/**
 * The cache of downloaded files, over a store of named byte arrays. A large file is stored in chunks of 8 MiB, so that an
 * interrupted download continues after the last of them. Beside the chunks lies a record (JSON) with the address, the version
 * that the server reported, the checksums of the chunks and whether the file is complete.
 *
 * Keys: `KEY.json` is the record and `KEY-GENERATION-INDEX` a chunk, where KEY is a hash of the URL and GENERATION names one
 * download, so that chunks of two downloads never mix. A small file is a record with its text.
 *
 * In browsers the store is the Cache API rather than the origin private file system, which Safari before 26 writes from workers
 * only: the Cache API works in windows and workers of every browser, stores an entry completely or not at all, and other tabs
 * can read chunks while more arrive.
 */

import { checkOptions, type OptionTable } from '../core/options.js';
import type { RemoteOptions } from '../io/bytes.js';
import { createSha256, sha256Bytes, sha256Text } from '../io/sha256.js';
import { display } from '../io/url.js';
import { findStore } from './open.js';
import { type FileRecord, parseRecord, type TextRecord } from './record.js';
import type { Store } from './store.js';

export type { Version } from './record.js';

/** Size of the chunks in which files are stored; the last one may be shorter. Tests make it smaller. */
export const chunking = { bytes: 8 * 2 ** 20 };

/** A file in the cache. */
export interface CachedFile {
  /** Its address, without the query. */
  url: string;
  /** Bytes stored. */
  bytes: number;
  /** False for an interrupted download; the next load continues it. */
  complete: boolean;
}

const keyOf = (url: string) => sha256Text(url).slice(0, 32);
const recordKey = (key: string) => `${key}.json`;

/** What the cache has of one URL. */
export class CacheEntry {
  readonly key: string;
  record: FileRecord | undefined;
  /** True once a stored chunk had the wrong length or checksum. */
  damaged = false;
  private unlock: (() => Promise<void>) | undefined;

  constructor(
    private readonly store: Store,
    private readonly url: string,
  ) {
    this.key = keyOf(url);
  }

  /** True between a successful `lock` and `release`. Only the owner of the lock downloads and writes. */
  get locked(): boolean {
    return this.unlock !== undefined;
  }

  async lock(): Promise<boolean> {
    this.unlock ??= await this.store.lock(this.key);
    return this.locked;
  }

  async release(): Promise<void> {
    const { unlock } = this;
    this.unlock = undefined;
    await unlock?.();
  }

  /** Reads the record again. */
  async refresh(): Promise<FileRecord | undefined> {
    const record = await readRecord(this.store, recordKey(this.key));
    this.record = record && 'generation' in record ? record : undefined;
    return this.record;
  }

  /**
   * Reads the record again while another tab or process downloads; false if that one has started a new download, whose content
   * may differ. A missing record counts as unchanged: in browsers it is missing for a moment while it is replaced.
   */
  async refreshDownload(): Promise<boolean> {
    const known = this.record;
    const now = await this.refresh();
    this.record ??= known;
    return !now || now.generation === known?.generation;
  }

  /** Starts a new download in place of what is stored. */
  async begin(about: Omit<FileRecord, 'url' | 'generation' | 'complete' | 'checksums'>): Promise<void> {
    await this.drop();
    const generation = Math.random().toString(36).slice(2, 12);
    await this.save({ ...about, url: display(this.url), generation, complete: false });
  }

  async save(record: FileRecord): Promise<void> {
    await this.store.put(recordKey(this.key), new TextEncoder().encode(JSON.stringify(record)));
    this.record = record;
  }

  /** A stored chunk; undefined if it is missing or damaged. */
  async chunk(index: number): Promise<Uint8Array | undefined> {
    const bytes = await this.store.get(this.chunkKey(index));
    const { size, checksums } = this.record ?? {};
    const checksum = checksums?.[index];
    const isSound =
      bytes &&
      (size === undefined || bytes.length === Math.min(chunking.bytes, size - index * chunking.bytes)) &&
      (!checksum || checksum === (await sha256Bytes(bytes)));
    if (isSound) return bytes;
    this.damaged ||= bytes !== undefined || this.record?.complete === true;
    return undefined;
  }

  /** Stores a chunk, then its checksum: after a crash between the two the chunk has none and is used unchecked. */
  async putChunk(index: number, data: Uint8Array): Promise<void> {
    await this.store.put(this.chunkKey(index), data);
    if (!this.record) return;
    const checksums = Array.from({ length: Math.max(index + 1, this.record.checksums?.length ?? 0) }, (_, i) => {
      return this.record!.checksums?.[i] ?? '';
    });
    checksums[index] = await sha256Bytes(data);
    await this.save({ ...this.record, checksums });
  }

  /** How many chunks are stored from the first on without a gap. */
  async storedChunks(): Promise<number> {
    const keys = new Set(await this.store.keys());
    let n = 0;
    while (keys.has(this.chunkKey(n))) n++;
    return n;
  }

  /** True if every chunk has a checksum. Records of older versions have none. */
  get isChecked(): boolean {
    const { size = Number.POSITIVE_INFINITY, checksums = [] } = this.record ?? {};
    return checksums.length * chunking.bytes >= size && checksums.every(Boolean);
  }

  /**
   * For a complete file without checksums: compares its SHA-256 with `expected`, and adds the checksums if they agree. False
   * if the stored file is damaged.
   */
  async addChecksums(expected: string): Promise<boolean> {
    const hash = createSha256();
    const checksums: string[] = [];
    for (let at = 0; at < (this.record?.size ?? 0); at += chunking.bytes) {
      const bytes = await this.chunk(checksums.length);
      if (!bytes) return false;
      hash.update(bytes);
      checksums.push(await sha256Bytes(bytes));
    }
    if (hash.hex() !== expected) return false;
    await this.save({ ...this.record!, checksums, sha256: expected });
    return true;
  }

  /** Removes everything of this URL. */
  async drop(): Promise<void> {
    this.record = undefined;
    await remove(this.store, (key) => key.startsWith(this.key));
  }

  private chunkKey(index: number): string {
    return `${this.key}-${this.record?.generation}-${index}`;
  }
}

/** The record of a small file: its text, or a note that the server does not have it. Undefined if there is none. */
export async function readText(store: Store, url: string): Promise<TextRecord | undefined> {
  const record = await readRecord(store, recordKey(keyOf(url)));
  return record && !('generation' in record) ? record : undefined;
}

export function writeText(store: Store, url: string, record: Omit<TextRecord, 'url'>): Promise<void> {
  const json = JSON.stringify({ url: display(url), ...record });
  return store.put(recordKey(keyOf(url)), new TextEncoder().encode(json));
}

async function readRecord(store: Store, key: string): Promise<FileRecord | TextRecord | undefined> {
  const bytes = await store.get(key);
  return bytes && parseRecord(new TextDecoder().decode(bytes));
}

async function remove(store: Store, matches: (key: string) => boolean): Promise<void> {
  for (const key of await store.keys()) if (matches(key)) await store.delete(key);
}

export interface CacheOptions extends Pick<RemoteOptions, 'cacheDir'> {
  /** Only the files of this repository id, or of URLs that start with this. Default: all. */
  model?: string | undefined;
}

const CACHE = {
  cacheDir: { type: 'string', about: "folder of the cache; by default AIM_CACHE, else aim-js in the user's cache folder" },
  model: { type: 'string', about: 'only the files of this repository id, or of URLs that start with this' },
} as const satisfies OptionTable<CacheOptions>;

/** The records of the files that an option asks for, with their keys. */
async function records(
  store: Store,
  keys: readonly string[],
  { model }: CacheOptions,
): Promise<[string, FileRecord | TextRecord][]> {
  const out: [string, FileRecord | TextRecord][] = [];
  for (const key of keys) {
    const record = /^[\da-f]{32}\.json$/.test(key) ? await readRecord(store, key) : undefined;
    const matches = model === undefined || record?.url.startsWith(model) || record?.url.includes(`/${model}/resolve/`);
    if (record && matches) out.push([key.slice(0, 32), record]);
  }
  return out;
}

/**
 * Lists the files in the cache, interrupted downloads included: the cache of the page's origin, or (Node, Deno) of `cacheDir`.
 * Throws IoError where there is no cache.
 */
export async function cachedFiles(options: CacheOptions = {}): Promise<CachedFile[]> {
  checkOptions<CacheOptions, typeof CACHE>('cachedFiles', options, CACHE);
  const store = await findStore(options);
  const keys = await store.keys();
  const out: CachedFile[] = [];
  for (const [key, record] of await records(store, keys, options)) {
    const { url } = record;
    if ('generation' in record) {
      const { generation, size, complete } = record;
      const chunks = keys.filter((k) => k.startsWith(`${key}-${generation}-`)).length;
      out.push({ url, bytes: Math.min(chunks * chunking.bytes, size ?? Number.POSITIVE_INFINITY), complete });
    } else if (record.text !== undefined) out.push({ url, bytes: record.text.length, complete: true });
    // Else the record notes that the server does not have the file.
  }
  return out.sort((a, b) => (a.url < b.url ? -1 : 1));
}

/**
 * Removes the files that `cachedFiles` lists for the same options. Models that are loaded keep working. Throws IoError where
 * there is no cache.
 */
export async function clearCache(options: CacheOptions = {}): Promise<void> {
  // A misspelt `model` must not clear everything.
  checkOptions<CacheOptions, typeof CACHE>('clearCache', options, CACHE);
  const store = await findStore(options);
  const keys = await store.keys();
  const found = new Set((await records(store, keys, options)).map(([key]) => key));
  // Files without a readable record, which a crash can leave, belong to no model.
  const all = options.model === undefined;
  await remove(store, (key) => found.has(key.slice(0, 32)) || (all && /^[\da-f]{32}[.-]/.test(key)));
}
