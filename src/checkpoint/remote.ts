/** Files behind URLs, through the cache. */

import { CacheEntry, chunking, readText, writeText } from '../cache/entry.js';
import { openStore } from '../cache/open.js';
import { type Store, StoreError } from '../cache/store.js';
import { CheckpointError } from '../core/errors.js';
import { type ByteSource, type SourceOptions, warn } from '../io/bytes.js';
import { parseHeader } from '../io/safetensors.js';
import { ChunkedSource, notCached, withoutCache } from './chunked_source.js';
import { fetchText, fetchVersion, sameVersion, type TextFile } from './http.js';
import { HttpError } from './http_error.js';
import { HttpSource } from './http_source.js';
import { delay, timing } from './wait.js';

/** Status codes of servers that do not have a file; 200 comes with a web page. */
const MISSING = [200, 403, 404, 410];

export interface RemoteFile {
  /** Its address, by which it is found in the cache. */
  url: string;
  /** The address to download from, if that is another one: that of a fixed commit. */
  from?: string | undefined;
  /** The commit it belongs to. A cached file of the same commit is used without asking the server. */
  commit?: string | undefined;
  headers?: Record<string, string> | undefined;
}

export interface RemoteWeights extends RemoteFile {
  /** The SHA-256 given by the user. */
  sha256?: string | undefined;
  /** The SHA-256 in the model card; asked for if neither user nor server give one. */
  cardHash?: (() => Promise<string | undefined>) | undefined;
}

/**
 * A small file. The server is asked each time, unless the commit is known; the cached copy is used if the server cannot be
 * reached. With `optional`, a file that the server does not have is undefined. Throws HttpError.
 */
export async function remoteText(file: RemoteFile, options: SourceOptions): Promise<TextFile>;
export async function remoteText(file: RemoteFile, options: SourceOptions, optional: boolean): Promise<TextFile | undefined>;
export async function remoteText(file: RemoteFile, options: SourceOptions, optional = false): Promise<TextFile | undefined> {
  const { url, from = url, commit, headers } = file;
  const store = await openStore(options).catch(ignoreStoreError);
  const cached = store && (await readText(store, url).catch(ignoreStoreError));
  const usable = cached && (cached.text !== undefined || optional) ? cached : undefined;
  const asCached = () => (usable?.text === undefined ? undefined : { text: usable.text, commit: usable.commit });
  if (usable && commit && usable.commit === commit) return asCached();
  let found: TextFile | undefined;
  try {
    // With a cached copy, give up after two attempts.
    found = await fetchText(from, { signal: options.signal, headers, optional, attempts: usable && 2 });
  } catch (error) {
    if (!usable || !(error instanceof HttpError && error.passing)) throw error;
    return asCached();
  }
  // A web page sent as something else is not stored.
  if (store && !/^\s*</.test(found?.text ?? ''))
    await writeText(store, url, { text: found?.text, commit: commit ?? found?.commit }).catch(ignoreStoreError);
  return found;
}

/** Ignores failures of the cache; loading the weights reports them once. */
function ignoreStoreError(error: unknown): undefined {
  if (!(error instanceof StoreError)) throw error;
}

/**
 * A large file: from the cache if it is complete there and the server does not say that it has changed; else downloaded,
 * after the chunks that are stored, and marked as complete when `finish` is called. The chunks that another tab or process
 * downloads are read as they arrive. With `optional`, a file that the server does not have is undefined. Throws HttpError.
 */
export async function remoteSource(file: RemoteWeights, options: SourceOptions): Promise<ByteSource>;
export async function remoteSource(
  file: RemoteWeights,
  options: SourceOptions,
  optional: boolean,
): Promise<ByteSource | undefined>;
export async function remoteSource(
  file: RemoteWeights,
  options: SourceOptions,
  optional = false,
): Promise<ByteSource | undefined> {
  const { url, from = url, headers, commit } = file;
  const onProgress = ascending(options.onProgress);
  const http = new HttpSource(from, { headers, signal: options.signal, onProgress });
  let store: Store | undefined;
  let entry: CacheEntry | undefined;
  let isAbsent = false;
  try {
    try {
      store = await openStore(options);
      if (store && optional) {
        const note = await readText(store, url);
        isAbsent = note !== undefined && note.text === undefined;
        if (isAbsent && commit && note?.commit === commit) return undefined;
      }
      entry = store && new CacheEntry(store, url);
      if (entry && !(await prepare(entry, http, file, options))) {
        warn(options, withoutCache(http.name));
        entry = undefined;
      }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      warn(options, notCached(http.name, error));
      await entry?.release();
      entry = undefined;
    }
    if (!entry && !http.connected) await http.start();
    const expected = file.sha256 ?? (entry ? entry.record?.sha256 : await serverHash(http, file));
    const source = new ChunkedSource(http, { ...options, onProgress, expected, strict: file.sha256 !== undefined, entry });
    if (!entry?.record?.complete || entry.isChecked || expected || (await isReadable(source, options))) return source;
    // The cached copy comes from an older version that stored no checksums, and it is not a safetensors file.
    await source.close();
    await entry.drop();
    return remoteSource(file, options, optional);
  } catch (error) {
    await entry?.release();
    await http.close();
    const status = optional && error instanceof HttpError ? error.status : undefined;
    if (status === 0 && isAbsent) return undefined;
    if (status === undefined || !MISSING.includes(status)) throw error;
    if (store) await writeText(store, url, { commit }).catch(ignoreStoreError);
    return undefined;
  }
}

async function isReadable(source: ByteSource, { signal }: SourceOptions): Promise<boolean> {
  try {
    await parseHeader(source, { signal });
    return true;
  } catch (error) {
    if (error instanceof CheckpointError) return false;
    throw error;
  }
}

/**
 * Brings the entry into one of the states of chunked_source.ts: complete, being downloaded by another, or being downloaded
 * here. False if another tab or process holds the lock for long without downloading anything.
 */
async function prepare(entry: CacheEntry, http: HttpSource, file: RemoteWeights, options: SourceOptions): Promise<boolean> {
  for (const start = Date.now(); ; ) {
    const before = await entry.refresh();
    if (before?.complete && (await isCurrent(entry, file, options)) && (await isSound(entry, file, http, options))) break;
    if (await entry.lock()) {
      const record = await entry.refresh();
      const changed = record?.generation !== before?.generation || record?.complete !== before?.complete;
      if (!changed) {
        await connect(entry, http, file, options);
        return true;
      }
      await entry.release();
    } else if (before && !before.complete) break;
    if (Date.now() - start > timing.lock) return false;
    await delay(timing.poll, [options.signal]);
  }
  const { etag, modified, size } = entry.record!;
  http.version = { etag, modified, size };
  return true;
}

/** False if a complete file without checksums, as older versions stored it, does not have its SHA-256. */
async function isSound(entry: CacheEntry, file: RemoteWeights, http: HttpSource, options: SourceOptions): Promise<boolean> {
  const expected = file.sha256 ?? entry.record?.sha256;
  if (entry.isChecked || !expected || (await entry.addChecksums(expected))) return true;
  warn(options, `the cached copy of ${http.name} is damaged or another version; it is downloaded again.`);
  return false;
}

/** Continues an interrupted download, or begins a new one. The lock is held. */
async function connect(entry: CacheEntry, http: HttpSource, file: RemoteWeights, options: SourceOptions): Promise<void> {
  const { record } = entry;
  const chunks = record && !record.complete ? await entry.storedChunks() : 0;
  if (record && chunks * chunking.bytes >= (record.size ?? Number.POSITIVE_INFINITY) && (await isCurrent(entry, file, options))) {
    http.version = { etag: record.etag, modified: record.modified, size: record.size };
    return;
  }
  if (record && (await http.start(chunks * chunking.bytes, record))) return;
  if (!http.connected) await http.start();
  await entry.begin({ ...http.version, sha256: file.sha256 ?? (await serverHash(http, file)), commit: file.commit });
}

async function serverHash(http: HttpSource, file: RemoteWeights): Promise<string | undefined> {
  return http.sha256 ?? file.cardHash?.();
}

/** True if the cached file is the one that the server has now, or the server does not say. */
async function isCurrent({ record }: CacheEntry, file: RemoteWeights, { signal }: SourceOptions): Promise<boolean> {
  if (file.commit && record?.commit === file.commit) return true;
  if (file.sha256 && record?.sha256) return file.sha256 === record.sha256;
  const now = await fetchVersion(file.from ?? file.url, { signal, headers: file.headers });
  return !now || sameVersion(record ?? {}, now) === true;
}

/** Progress that never decreases, although bytes may be fetched again. */
function ascending(onProgress: SourceOptions['onProgress']): SourceOptions['onProgress'] {
  let reached = 0;
  return (
    onProgress &&
    ((progress) => {
      if (progress.loaded <= reached) return;
      reached = progress.loaded;
      onProgress(progress);
    })
  );
}
