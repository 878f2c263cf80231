/**
 * The cache of downloaded files, over a store of named bytes. A file is kept in parts of 8 MiB, so that a download goes on
 * after the last one; a record of JSON beside them tells its address, its version and whether it is complete.
 *
 * In browsers the store is the Cache API. Unlike files of the origin private file system, which Safari before 26 writes in
 * workers only, it is there for windows and workers of every browser, and an entry is put whole or not at all: a crash
 * leaves no half part, and other tabs may read parts while more come.
 */

import type { RemoteOptions } from '../io/bytes.js';
import { sha256Text } from '../io/sha256.js';
import { display } from '../io/url.js';
import { findStore } from './open.js';
import type { Store } from './store.js';

/** Bytes of a part; the last may be shorter. */
export const PART = 8 * 2 ** 20;

/** What a server says of a file's content. */
export interface Version {
  /** Without the mark of weak ones, which compressing servers add and take away. */
  etag?: string | undefined;
  modified?: string | undefined;
  size?: number | undefined;
}

interface FileRecord extends Version {
  url: string;
  /** Of one download; part of the names of its parts, so that those of two never mix. */
  generation: string;
  complete: boolean;
  /** What the content's hash has to be; if complete, it is. */
  sha256?: string | undefined;
  /** The commit it belongs to, where that is known; it then needs no asking whether it changed. */
  commit?: string | undefined;
}

/** A small file: its text, or undefined for one the server does not have. */
interface TextRecord {
  url: string;
  text?: string | undefined;
  commit?: string | undefined;
}

/** A file in the cache. */
export interface CachedFile {
  /** Its address, without the query. */
  url: string;
  /** Bytes stored. */
  bytes: number;
  /** False for a download that was cut and will go on from there. */
  complete: boolean;
}

const keyOf = (url: string) => sha256Text(url).slice(0, 32);
const recordKey = (key: string) => `${key}.json`;

/** What is kept of one URL. */
export class CacheEntry {
  readonly key: string;
  record: FileRecord | undefined;
  private unlock: (() => Promise<void>) | undefined;

  constructor(
    private readonly store: Store,
    private readonly url: string,
  ) {
    this.key = keyOf(url);
  }

  get storeName(): string {
    return this.store.name;
  }
  /** True between a successful `lock` and `release`: this is the one who downloads. */
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

  /** Reads the record as it is now. */
  async refresh(): Promise<FileRecord | undefined> {
    const record = await readJson<FileRecord>(this.store, recordKey(this.key));
    this.record = record?.generation === undefined ? undefined : record;
    return this.record;
  }

  /**
   * Hears how another tab or process comes on; false if it began anew, with other content. A record may be missing for the
   * moment in which a browser replaces it.
   */
  async follow(): Promise<boolean> {
    const known = this.record;
    const now = await this.refresh();
    this.record ??= known;
    return !now || now.generation === known?.generation;
  }

  /** Begins a new download, in place of what there was. */
  async begin(about: Omit<FileRecord, 'url' | 'generation' | 'complete'>): Promise<void> {
    await this.drop();
    const generation = Math.random().toString(36).slice(2, 12);
    await this.save({ ...about, url: display(this.url), generation, complete: false });
  }

  async save(record: FileRecord): Promise<void> {
    await writeJson(this.store, recordKey(this.key), record);
    this.record = record;
  }

  part(index: number): Promise<Uint8Array | undefined> {
    return this.store.get(this.partKey(index));
  }

  putPart(index: number, data: Uint8Array): Promise<void> {
    return this.store.put(this.partKey(index), data);
  }

  /** How many parts are stored from the first on without a gap. */
  async parts(): Promise<number> {
    const keys = new Set(await this.store.keys());
    let n = 0;
    while (keys.has(this.partKey(n))) n++;
    return n;
  }

  /** Removes everything of this URL. */
  async drop(): Promise<void> {
    this.record = undefined;
    await remove(this.store, (key) => key.startsWith(this.key));
  }

  private partKey(index: number): string {
    return `${this.key}-${this.record?.generation}-${index}`;
  }
}

/** What is kept of a small file, or a note that a file is not there. */
export async function readText(store: Store, url: string): Promise<TextRecord | undefined> {
  const record = await readJson<Partial<FileRecord> & TextRecord>(store, recordKey(keyOf(url)));
  return record?.generation === undefined ? record : undefined;
}

export function writeText(store: Store, url: string, record: Omit<TextRecord, 'url'>): Promise<void> {
  return writeJson(store, recordKey(keyOf(url)), { url: display(url), ...record });
}

async function readJson<T>(store: Store, key: string): Promise<T | undefined> {
  const bytes = await store.get(key);
  try {
    return bytes && JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    // Not ours, or damaged: as good as none.
    return undefined;
  }
}

function writeJson(store: Store, key: string, record: object): Promise<void> {
  return store.put(key, new TextEncoder().encode(JSON.stringify(record)));
}

async function remove(store: Store, matches: (key: string) => boolean): Promise<void> {
  for (const key of await store.keys()) if (matches(key)) await store.delete(key);
}

export interface CacheOptions extends Pick<RemoteOptions, 'cacheDir'> {
  /** Only what is of this: a repository id, or the beginning of a URL. */
  model?: string | undefined;
}

/** The records of the files that an option asks for, by their key. */
async function records(
  store: Store,
  keys: readonly string[],
  { model }: CacheOptions,
): Promise<[string, FileRecord & TextRecord][]> {
  const out: [string, FileRecord & TextRecord][] = [];
  for (const key of keys) {
    const record = /^[\da-f]{32}\.json$/.test(key) ? await readJson<FileRecord & TextRecord>(store, key) : undefined;
    const matches = model === undefined || record?.url.startsWith(model) || record?.url.includes(`/${model}/resolve/`);
    if (record && matches) out.push([key.slice(0, 32), record]);
  }
  return out;
}

/**
 * What the cache holds, downloads that were cut included: that of the page's origin, or (Node, Deno) of `cacheDir`. Throws
 * IoError where there is no cache.
 */
export async function cachedFiles(options: CacheOptions = {}): Promise<CachedFile[]> {
  const store = await findStore(options);
  const keys = await store.keys();
  const out: CachedFile[] = [];
  for (const [key, { url, generation, text, size, complete }] of await records(store, keys, options)) {
    const parts = keys.filter((k) => k.startsWith(`${key}-${generation}-`)).length;
    if (generation) out.push({ url, bytes: Math.min(parts * PART, size ?? Number.POSITIVE_INFINITY), complete });
    // Else it is a note that the server does not have the file.
    else if (text !== undefined) out.push({ url, bytes: text.length, complete: true });
  }
  return out.sort((a, b) => (a.url < b.url ? -1 : 1));
}

/** Removes what `cachedFiles` of the same options lists. Models already loaded stay as they are. Throws IoError like it. */
export async function clearCache(options: CacheOptions = {}): Promise<void> {
  const store = await findStore(options);
  const keys = await store.keys();
  const found = new Set((await records(store, keys, options)).map(([key]) => key));
  // What a crash left without a record goes with the whole only.
  const all = options.model === undefined;
  await remove(store, (key) => found.has(key.slice(0, 32)) || (all && /^[\da-f]{32}[.-]/.test(key)));
}
