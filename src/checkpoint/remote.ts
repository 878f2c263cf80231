/** Files behind URLs, through the cache. */

import { CacheEntry, PART, readText, writeText } from '../cache/entry.js';
import { openStore } from '../cache/open.js';
import { type Store, StoreError } from '../cache/store.js';
import { type ByteSource, type SourceOptions, warn } from '../io/bytes.js';
import { delay } from './abort.js';
import { fetchText, fetchVersion, HttpError, HttpSource, sameVersion, type TextFile } from './http.js';
import { PartSource, POLL } from './parts.js';

/** How long a server may take to say whether a file has changed before the stored one is used, ms. */
const PATIENCE = 10_000;

/** Answers of servers that do not have a file: 200 comes with a web page. */
const MISSING = [200, 403, 404, 410];

export interface RemoteFile {
  /** Its address, by which it is kept. */
  url: string;
  /** Where to get it from, if that is another: the address of the very commit. */
  from?: string | undefined;
  /** The commit it belongs to. What is kept of the same commit is used without asking. */
  commit?: string | undefined;
  headers?: Record<string, string> | undefined;
}

export interface RemoteWeights extends RemoteFile {
  /** The hash given by the user. */
  sha256?: string | undefined;
  /** The hash given by the model's card; asked for if neither user nor server tell. */
  cardHash?: (() => Promise<string | undefined>) | undefined;
}

/**
 * A small file. It is asked for anew each time, unless its commit is known; what was kept serves when the server cannot be
 * reached. With `optional`, one the server does not have is undefined. Throws HttpError.
 */
export async function remoteText(file: RemoteFile, options: SourceOptions): Promise<TextFile>;
export async function remoteText(file: RemoteFile, options: SourceOptions, optional: boolean): Promise<TextFile | undefined>;
export async function remoteText(file: RemoteFile, options: SourceOptions, optional = false): Promise<TextFile | undefined> {
  const { url, from = url, commit, headers } = file;
  const store = await openStore(options).catch(quiet);
  const kept = store && (await readText(store, url).catch(quiet));
  const usable = kept && (kept.text !== undefined || optional) ? kept : undefined;
  const asKept = () => (usable?.text === undefined ? undefined : { text: usable.text, commit: usable.commit });
  if (usable && commit && usable.commit === commit) return asKept();
  let found: TextFile | undefined;
  try {
    found = await fetchText(from, { signal: options.signal, headers, optional });
  } catch (error) {
    const unreachable = error instanceof HttpError && (error.status === 0 || error.status >= 500);
    if (!usable || !unreachable) throw error;
    return asKept();
  }
  // A web page sent as something else is not worth keeping.
  if (store && !/^\s*</.test(found?.text ?? ''))
    await writeText(store, url, { text: found?.text, commit: commit ?? found?.commit }).catch(quiet);
  return found;
}

/** The weights say it where the cache fails; small files do without in silence. */
function quiet(error: unknown): undefined {
  if (!(error instanceof StoreError)) throw error;
}

/**
 * A large file: from the cache if it is there in whole and the server does not say that it has changed; else downloaded, going
 * on from what is there, and kept when `finish` is called. What another tab or process is downloading is read as it comes.
 * With `optional`, a file the server does not have is undefined. Throws HttpError.
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
  let absent = false;
  try {
    try {
      store = await openStore(options);
      if (store && optional) {
        const note = await readText(store, url);
        absent = note !== undefined && note.text === undefined;
        if (absent && commit && note?.commit === commit) return undefined;
      }
      entry = store && new CacheEntry(store, url);
      if (entry) await prepare(entry, http, file, options);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      warn(options, `${http.name} is not kept for the next time: ${error.message}`);
      await entry?.release();
      entry = undefined;
    }
    if (!entry && !http.connected) await http.start();
    const expected = file.sha256 ?? (entry ? entry.record?.sha256 : await serverHash(http, file));
    return new PartSource(http, { ...options, onProgress, expected, entry });
  } catch (error) {
    await entry?.release();
    await http.close();
    const status = optional && error instanceof HttpError ? error.status : undefined;
    if (status === 0 && absent) return undefined;
    if (status === undefined || !MISSING.includes(status)) throw error;
    if (store) await writeText(store, url, { commit }).catch(quiet);
    return undefined;
  }
}

/** Brings the entry to where it may be read: complete, being downloaded by another, or ours to download. */
async function prepare(entry: CacheEntry, http: HttpSource, file: RemoteWeights, options: SourceOptions): Promise<void> {
  for (;;) {
    const before = await entry.refresh();
    if (before?.complete && (await isCurrent(entry, file, options))) break;
    if (await entry.lock()) {
      const record = await entry.refresh();
      const meanwhile = record?.generation !== before?.generation || record?.complete !== before?.complete;
      if (!meanwhile) return connect(entry, http, file, options);
      await entry.release();
    } else if (before && !before.complete) break;
    await delay(POLL, [options.signal]);
  }
  const { etag, modified, size } = entry.record!;
  http.version = { etag, modified, size };
}

/** Goes on with a download that was cut, or begins it anew. */
async function connect(entry: CacheEntry, http: HttpSource, file: RemoteWeights, options: SourceOptions): Promise<void> {
  const { record } = entry;
  const parts = record && !record.complete ? await entry.parts() : 0;
  if (record && parts * PART >= (record.size ?? Number.POSITIVE_INFINITY) && (await isCurrent(entry, file, options))) {
    http.version = { etag: record.etag, modified: record.modified, size: record.size };
    return;
  }
  if (record && (await http.start(parts * PART, record))) return;
  if (!http.connected) await http.start();
  await entry.begin({ ...http.version, sha256: file.sha256 ?? (await serverHash(http, file)), commit: file.commit });
}

async function serverHash(http: HttpSource, file: RemoteWeights): Promise<string | undefined> {
  return http.sha256 ?? file.cardHash?.();
}

/** Whether what is kept is what the server has. A server that does not answer this is not asked twice. */
async function isCurrent({ record }: CacheEntry, file: RemoteWeights, { signal }: SourceOptions): Promise<boolean> {
  if (file.commit && record?.commit === file.commit) return true;
  if (file.sha256 && record?.sha256) return file.sha256 === record.sha256;
  const now = await fetchVersion(file.from ?? file.url, { signal, headers: file.headers, timeout: PATIENCE });
  return !now || sameVersion(record ?? {}, now) === true;
}

/** Progress that never goes back, though bytes may be fetched again. */
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
